"""Finds the proof of every job in the plan of `deploy`: the recorded green run of exactly the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builder.act.proofs import NOT_PROVEN, Proof, Summaries, find_proof, proof_object, what_differs
from builder.errors import InputRefused
from builder.model import GcsLocation
from builder.plan.build_plan import JobPlan
from builder.plan.inputs import inputs_sha256
from builder.plan.named_inputs import NamedInputs, named_inputs
from builder.plan.packing import Archive
from builder.ports import ObjectStore

_SHOWN = 20  # jobs that a refusal names
_SHOWN_FILES = 6


@dataclass(frozen=True)
class ProofRequest:
    """A job to make live, the hash of its inputs, and the same inputs by name."""

    job: JobPlan
    inputs: str
    named: NamedInputs


def proof_request(job: JobPlan, workspace: Archive, kit_sha256: str) -> ProofRequest:
    """Return the request for the proof of a job with this packed workspace and this kit."""
    inputs = inputs_sha256(job, workspace.sha256, kit_sha256)
    return ProofRequest(job, inputs, named_inputs(job, workspace, kit_sha256))


def describe_proofs(
    store: ObjectStore, location: GcsLocation, proof_requests: Sequence[ProofRequest]
) -> Mapping[str, str]:
    """Return for each job, by its name, which run has proven its inputs and when, or what has changed since its proof.

    Raises CallFailed.
    """
    summaries = Summaries(store)
    described = {}
    for request in proof_requests:
        found = find_proof(store, location, request.inputs, summaries)
        if isinstance(found, Proof):
            written = store.stat(proof_object(location, request.inputs))
            when = f" on {written.created[:16].replace('T', ' ')} UTC" if written else ""
            described[request.job.job] = f"proven by {found.run}{when}"
        else:
            changed = "" if found else what_differs(store, location, request.job.job, request.named)
            described[request.job.job] = f"none: {found or NOT_PROVEN}{changed}"
    return described


def find_proofs(
    store: ObjectStore, location: GcsLocation, proof_requests: Sequence[ProofRequest]
) -> Mapping[str, Proof]:
    """The proof of each job, by the name of the job.

    Raises InputRefused (exit code 2), which names every job without a proof and the reason, and CallFailed.
    """
    summaries = Summaries(store)
    proofs: dict[str, Proof] = {}
    refusals: list[str] = []
    for request in proof_requests:
        found = _find_proof(store, location, request, summaries)
        if isinstance(found, Proof):
            proofs[request.job.job] = found
        else:
            refusals.append(f"{_named(request.job, proof_requests)}: {found}")
    if refusals:
        raise _refusal(refusals)
    return proofs


def _named(job: JobPlan, proof_requests: Sequence[ProofRequest]) -> str:
    """The path of the notebook, with the name of the job if the notebook has several."""
    path = job.notebook.path
    alone = sum(request.job.notebook.path == path for request in proof_requests) == 1
    return path if alone else f"{path} ({job.job})"


def _find_proof(
    store: ObjectStore, location: GcsLocation, request: ProofRequest, summaries: Summaries
) -> Proof | str:
    """The proof of the job, or the reason why it has none."""
    found = find_proof(store, location, request.inputs, summaries)
    if found is None:
        changed = what_differs(store, location, request.job.job, request.named)
        return (
            f"no green run had exactly these inputs: notebook, files ({_files(request.job)}), parameters, packages, machine, "
            f"kit{changed}"
        )
    return found


def _files(job: JobPlan) -> str:
    """The names of the files that count, since users may not expect a settings file beside the notebook to count."""
    names = [file.path for file in job.files if file.path != job.notebook.path]
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    return ", ".join(names[:_SHOWN_FILES]) + more if names else "none beside it"


def _refusal(refusals: Sequence[str]) -> InputRefused:
    more = [f"and {len(refusals) - _SHOWN} more"] if len(refusals) > _SHOWN else []
    return InputRefused(
        "\n".join(["Not deployed; the live version stays.", *refusals[:_SHOWN], *more]),
        reason="not_proven",
        advice="Run the notebooks first, then deploy with the same options and the same image.",
    )
