"""Keeps the proof of a green job for `deploy`: one object named after the hash of its inputs, `proofs/<sha256>.json`.

The VM cannot write there: its account may write below `staging/` only. A proof names the run's summary at the
generation that the builder wrote. `deploy` trusts that summary; the proof locates it, and has the image and the
packages of the job.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from builder.act.result import JobResult
from builder.model import GcsLocation, JsonObject, Listed
from builder.plan.named_inputs import NamedInputs, decode_named_inputs, differences
from builder.ports import CallFailed, ObjectStore
from builder.refusals import is_denied
from builder.strict_json import read_document, readable

NOT_PROVEN = "no run was green for exactly these inputs"
_SCHEMA = 1
_THREADS = 8  # proofs written at a time: the run's last lines wait for them


@dataclass(frozen=True)
class Origin:
    """The build and the commit of a run; None if it was started by hand."""

    build: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Proof:
    """The proof of a green job.

    `inputs`: the hash of all its inputs. `packages`: those installed beside the image's own.
    """

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
        """Return the proof as it is stored."""
        return (json.dumps({"schema": _SCHEMA, **asdict(self)}, indent=2, ensure_ascii=False) + "\n").encode()


def _latest(proof: Proof, result: JobResult) -> bytes:
    """Return the description of a job's newest proof, which `what_differs` reads."""
    named = (result.named_inputs or NamedInputs()).encode()
    return json.dumps({"schema": _SCHEMA, "run": proof.run, "inputs": named}).encode()


def decode(raw: bytes) -> Proof | None:
    """Return the proof in these bytes; None if this version did not write it."""
    try:
        found = read_document(raw, _SCHEMA)
        del found["schema"]
        return Proof(**{**found, "packages": tuple(found["packages"])})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def proof_object(location: GcsLocation, inputs: str) -> str:
    """Return the name of the object that proves these inputs."""
    return location.object("proofs", f"{inputs}.json")


def _latest_object(location: GcsLocation, job: str) -> str:
    """Return the name of the object that describes the newest proof of a job."""
    return location.object("proofs", "latest", f"{job}.json")


def what_differs(store: ObjectStore, location: GcsLocation, job: str, named: NamedInputs) -> str:
    """Return what differs from the newest proof of the job, as the end of a sentence; "" if that is not known.

    Raises CallFailed.
    """
    name = _latest_object(location, job)
    found = readable(store.read(name), _SCHEMA)
    if found is None:
        return ""
    before = decode_named_inputs(found.get("inputs"))
    written = store.stat(name)
    if before is None or before.notebook != named.notebook or written is None:
        return ""
    changed = differences(named, before)
    date = written.created[:16].replace("T", " ")
    return f"; changed since run {found.get('run')} was green ({date} UTC): {changed}" if changed else ""


def find_proof(
    store: ObjectStore, location: GcsLocation, inputs: str, summaries: Summaries
) -> Proof | str | None:
    """Return the proof of these inputs, confirmed by its run's summary. Raises CallFailed.

    Returns None if no run was green for them, and the reason if the proof is not usable.
    """
    name = proof_object(location, inputs)
    raw = store.read(name)
    if raw is None:
        return None
    proof = decode(raw)
    if proof is None or proof.inputs != inputs:
        return f"gs://{store.bucket}/{name} is no proof that this version can read"
    summary = summaries.read(proof)
    if summary is None:
        return f"the summary of its green run {proof.run} is gone or was overwritten"
    if summary.get("run") != proof.run or green_job(summary, proof) is None:
        return f"the summary of run {proof.run} does not say that it was green"
    return proof


def green_job(summary: JsonObject, proof: Proof) -> JsonObject | None:
    """Return the summary's entry of the proven job; None if the summary has none that is green."""
    jobs = summary.get("jobs")
    for job in jobs if isinstance(jobs, list) else []:
        if isinstance(job, dict) and (job.get("job"), job.get("inputs"), job.get("verdict")) == (
            proof.job,
            proof.inputs,
            "green",
        ):
            return job
    return None


class Summaries:
    """Summaries at their recorded generations. One run proves many jobs, so each summary is read once."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._read: dict[tuple[str, int], JsonObject | None] = {}

    def read(self, proof: Proof) -> JsonObject | None:
        """Return the summary that a proof points to; None if that generation does not exist or is no summary."""
        key = (proof.summary, proof.summary_generation)
        if key not in self._read:
            self._read[key] = readable(self._store.read(proof.summary, generation=proof.summary_generation))
        return self._read[key]


def keep_proofs(
    store: ObjectStore,
    location: GcsLocation,
    results: Sequence[JobResult],
    *,
    run: str,
    origin: Origin,
    kit: str,
    summary: Listed,
    report: Callable[[str], None],
) -> None:
    """Write a proof for each job that this run has found green.

    A failure is reported, since `deploy` then does not find the job. A reused job keeps its proof, which dates from the
    run that ran it.
    """

    def keep(result: JobResult) -> bool:
        """Return False if the account may not keep proofs."""
        proof = _proof_of(result, run, origin, kit, summary)
        name = proof_object(location, proof.inputs)
        try:
            store.replace(name, proof.encode(), content_type="application/json")
        except CallFailed as failure:
            if is_denied(failure):
                return False
            report(f"warning: {result.job} is green, but has no proof, so deploy does not find it: {failure}")
            return True
        try:
            latest = _latest_object(location, proof.job)
            store.replace(latest, _latest(proof, result), content_type="application/json")
        except CallFailed as failure:
            report(f"warning: later runs do not say what changed in {result.job}: {failure}")
        return True

    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="proofs") as pool:
        proven = [item for item in results if item.verdict.green and item.reused is None]
        allowed = list(pool.map(keep, proven))
    if not all(allowed):
        report(
            f"warning: no proofs of this run, so deploy does not find its green jobs: its account cannot write "
            f"{location.url('proofs')}/ (docs/accounts.md)"
        )


def _proof_of(result: JobResult, run: str, origin: Origin, kit: str, summary: Listed) -> Proof:
    return Proof(
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
