"""What `deploy` believes: for every job of its own plan, the recorded green run of exactly these inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builder.act.proofs import Proof, decode, proof_object
from builder.errors import InputRefused
from builder.model import GcsLocation, JsonObject
from builder.plan.make import JobPlan
from builder.ports import ObjectStore
from builder.stored_json import read_object

_SHOWN = 20  # jobs that a refusal names
_SHOWN_FILES = 6


@dataclass(frozen=True)
class Claim:
    """A job that is to go live, and the hash of its inputs."""

    job: JobPlan
    inputs: str


def proven(store: ObjectStore, location: GcsLocation, claims: Sequence[Claim]) -> Mapping[str, Proof]:
    """The proof of each job, by the job's name.

    Raises InputRefused (exit code 2) that names every job without one, and why; CallFailed.
    """
    summaries = _Summaries(store)
    proofs: dict[str, Proof] = {}
    doubts: list[str] = []
    for claim in claims:
        found = _proof(store, location, claim, summaries)
        if isinstance(found, Proof):
            proofs[claim.job.job] = found
        else:
            doubts.append(f"{_named(claim.job, claims)}: {found}")
    if doubts:
        raise _refusal(doubts)
    return proofs


def _named(job: JobPlan, claims: Sequence[Claim]) -> str:
    """The notebook, and which of its jobs where it has several."""
    path = job.notebook.path
    alone = sum(claim.job.notebook.path == path for claim in claims) == 1
    return path if alone else f"{path} ({job.job})"


def _proof(store: ObjectStore, location: GcsLocation, claim: Claim, summaries: _Summaries) -> Proof | str:
    """The job's proof, or why there is none."""
    name = proof_object(location, claim.inputs)
    raw = store.read(name)
    if raw is None:
        return f"no run was green for exactly this: the notebook, its files ({_files(claim.job)}), parameters, packages, machine, kit"
    proof = decode(raw)
    if proof is None or proof.inputs != claim.inputs:
        return f"gs://{store.bucket}/{name} is no proof that this version can read"
    summary = summaries.read(proof)
    if summary is None:
        return f"the summary of its green run {proof.run} is gone or was written over"
    if not _says_green(summary, proof):
        return f"the summary of run {proof.run} does not say that it was green"
    return proof


def _files(job: JobPlan) -> str:
    """What counts, by name: a settings file beside the notebook does, and who changed it may not think of it."""
    names = [file.path for file in job.files if file.path != job.notebook.path]
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    return ", ".join(names[:_SHOWN_FILES]) + more if names else "none beside it"


def _says_green(summary: JsonObject, proof: Proof) -> bool:
    jobs = summary.get("jobs")
    return summary.get("run") == proof.run and any(
        isinstance(job, dict)
        and (job.get("job"), job.get("inputs"), job.get("verdict")) == (proof.job, proof.inputs, "green")
        for job in (jobs if isinstance(jobs, list) else [])
    )


class _Summaries:
    """Summaries at the generations that were recorded, each read once: one run proves many jobs."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._read: dict[tuple[str, int], JsonObject | None] = {}

    def read(self, proof: Proof) -> JsonObject | None:
        """The summary that a proof points to; None where that generation is not there, or no summary."""
        key = (proof.summary, proof.summary_generation)
        if key not in self._read:
            self._read[key] = _document(self._store.read(proof.summary, generation=proof.summary_generation))
        return self._read[key]


def _document(raw: bytes | None) -> JsonObject | None:
    try:
        return read_object(raw or b"")
    except ValueError:
        return None


def _refusal(doubts: Sequence[str]) -> InputRefused:
    more = [f"and {len(doubts) - _SHOWN} more"] if len(doubts) > _SHOWN else []
    return InputRefused(
        "\n".join(["Not deployed: what is live is untouched.", *doubts[:_SHOWN], *more]),
        reason="not_proven",
        advice="Deploy in the build whose `run` was green, with the same options and the same image, or run it first.",
    )
