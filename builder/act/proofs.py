"""What a green job leaves for `deploy`: one object named after the hash of its inputs, `proofs/<sha256>.json`.

The VM cannot write there: its account writes below `staging/` alone. A proof points to the run's summary at the generation that the
builder wrote, so what `deploy` believes is the summary; the proof says where it is, and what the job was proven with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from builder.act.result import JobResult
from builder.model import GcsLocation, Listed
from builder.ports import CallFailed, ObjectStore
from builder.stored_json import read_object

_SCHEMA = 1
_THREADS = 8  # proofs that are written at a time: the run's last lines wait for them


@dataclass(frozen=True)
class Origin:
    """Which build a run belongs to, and of which commit; None where it was started by hand."""

    build: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Proof:
    """A job that was green. `inputs`: the hash of all that says how it ran; `packages`: what was installed beside the image's own."""

    inputs: str
    run: str
    job: str
    notebook: str
    build: str | None
    commit: str | None
    kit: str
    workspace_sha256: str
    image: str
    packages: tuple[str, ...]
    summary: str
    summary_generation: int

    def encode(self) -> bytes:
        """The proof as it is stored."""
        return (json.dumps({"schema": _SCHEMA, **asdict(self)}, indent=2, ensure_ascii=False) + "\n").encode()


def decode(raw: bytes) -> Proof | None:
    """The proof in these bytes; None where they are none that this version wrote."""
    try:
        found = read_object(raw)
        if found.pop("schema") != _SCHEMA:
            return None
        return Proof(**{**found, "packages": tuple(found["packages"])})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def proof_object(location: GcsLocation, inputs: str) -> str:
    """The name of the object that proves these inputs."""
    return location.object("proofs", f"{inputs}.json")


def keep_proofs(
    store: ObjectStore,
    location: GcsLocation,
    results: Sequence[JobResult],
    *,
    run: str,
    origin: Origin,
    kit: str,
    summary: Listed,
    tell: Callable[[str], None],
) -> None:
    """Leave a proof for each green job; where that fails, `tell` that `deploy` will not know of it."""

    def keep(result: JobResult) -> None:
        proof = Proof(
            inputs=result.inputs,
            run=run,
            job=result.job,
            notebook=result.notebook,
            build=origin.build,
            commit=origin.commit,
            kit=kit,
            workspace_sha256=result.workspace_sha256,
            image=result.image,
            packages=result.packages,
            summary=summary.name,
            summary_generation=summary.generation,
        )
        try:
            store.replace(
                proof_object(location, proof.inputs), proof.encode(), content_type="application/json"
            )
        except CallFailed as failure:
            tell(f"warning: {result.job} is green, but deploy will not know of it: {failure}")

    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="proofs") as pool:
        list(pool.map(keep, [result for result in results if result.verdict.green]))
