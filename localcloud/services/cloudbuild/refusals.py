"""Refusals at the creation of a build: features that are not covered, and faults that Cloud Build refuses too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localcloud.core.errors import ApiError, invalid, unimplemented
from localcloud.services.cloudbuild import rules_dynamic
from localcloud.services.cloudbuild.problem import Json, Path, Problem, objects, part
from localcloud.services.cloudbuild.rules import problems
from localcloud.services.cloudbuild.rules_substitutions import undefined

_NO_SOURCE = "the source is a storageSource"
_NO_ARTIFACTS = "a build publishes images only"
_NO_KMS = "there is no Cloud KMS; use availableSecrets.secretManager"
_NO_FETCHING = "steps fetch what they need"
_SHARED = "steps share /workspace and /builder/home"
_LEAVE_OUT = "leave it out"

# Fields without an effect here that a build relies on, and the remedy.
_NOT_COVERED = {
    "source.repoSource": _NO_SOURCE,
    "source.gitSource": _NO_SOURCE,
    "source.storageSourceManifest": _NO_SOURCE,
    "source.connectedRepository": _NO_SOURCE,
    "source.developerConnectConfig": _NO_SOURCE,
    "artifacts.objects": _NO_ARTIFACTS,
    "artifacts.mavenArtifacts": _NO_ARTIFACTS,
    "artifacts.pythonPackages": _NO_ARTIFACTS,
    "artifacts.npmPackages": _NO_ARTIFACTS,
    "artifacts.goModules": _NO_ARTIFACTS,
    "artifacts.genericArtifacts": _NO_ARTIFACTS,
    "artifacts.oci": _NO_ARTIFACTS,
    "secrets": _NO_KMS,
    "availableSecrets.inline": _NO_KMS,
    "logsBucket": "leave it out; the log is in the state directory, and at the log's address",
    "dependencies": _NO_FETCHING,
    "gitConfig": _NO_FETCHING,
    "options.pool": _LEAVE_OUT,
    "options.workerPool": _LEAVE_OUT,
    "options.pubsubTopic": _LEAVE_OUT,
    "options.volumes": _SHARED,
}
# The same of a step.
_STEP_NOT_COVERED = {
    "allowExitCodes": "use allowFailure",
    "results": _LEAVE_OUT,
    "volumes": _SHARED,
}


def bad_filter(expression: str, reason: str) -> ApiError:
    """400: not a filter of builds."""
    return invalid(f"invalid list filter '{expression}': {reason}")


def check_submitted(build: Json) -> None:
    """Raise `ApiError` for a build as it was sent: 501, or 400 with all its faults."""
    for problem in not_covered(build):
        raise unimplemented(problem.text)
    _refuse([*problems(build), *undefined(build)])


def check_substituted(build: Json) -> None:
    """Raise `ApiError` 400 for a substituted build, with all its faults."""
    _refuse(problems(build, substituted=True))


def _refuse(found: Sequence[Problem]) -> None:
    if found:
        raise invalid("invalid build: " + "; ".join(problem.text for problem in found))


def not_covered(build: Json) -> Iterator[Problem]:
    """Yield the fields that localcloud does not cover."""
    for field, words in _NOT_COVERED.items():
        outer, _, inner = field.partition(".")
        if (part(build, outer).get(inner) if inner else build.get(outer)) is not None:
            yield _problem((outer, inner) if inner else (outer,), field, words)
    for index, step in objects(build, "steps"):
        for field, words in _STEP_NOT_COVERED.items():
            if step.get(field):
                yield _problem(("steps", index, field), f"steps[{index}].{field}", words)
    for key, words in rules_dynamic.not_covered(build):
        yield _problem(("substitutions", key), f"substitutions.{key}", words)


def _problem(path: Path, field: str, words: str) -> Problem:
    return Problem(path, f"localcloud does not implement build.{field}: {words}")
