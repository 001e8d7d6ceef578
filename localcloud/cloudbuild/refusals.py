"""What is refused when a build is created: what Cloud Build has and localcloud does not, and what Cloud Build refuses too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localcloud.cloudbuild.problem import Json, Problem, objects, part
from localcloud.cloudbuild.rules import problems
from localcloud.cloudbuild.substitutions import undefined
from localcloud.errors import invalid, unimplemented

_NO_SOURCE = "the source is a storageSource"
_NO_PACKAGES = "there are images and artifacts.objects"
_NO_KMS = "there is no Cloud KMS; use availableSecrets.secretManager"
_NO_FETCHING = "steps fetch what they need"
_LEAVE_OUT = "leave it out"

# Fields that would be without effect although a build relies on them, and what to do.
_UNSUPPORTED = {
    "source.repoSource": _NO_SOURCE,
    "source.gitSource": _NO_SOURCE,
    "source.storageSourceManifest": _NO_SOURCE,
    "source.connectedRepository": _NO_SOURCE,
    "source.developerConnectConfig": _NO_SOURCE,
    "artifacts.mavenArtifacts": _NO_PACKAGES,
    "artifacts.pythonPackages": _NO_PACKAGES,
    "artifacts.npmPackages": _NO_PACKAGES,
    "artifacts.goModules": _NO_PACKAGES,
    "artifacts.genericArtifacts": _NO_PACKAGES,
    "artifacts.oci": _NO_PACKAGES,
    "secrets": _NO_KMS,
    "availableSecrets.inline": _NO_KMS,
    "dependencies": _NO_FETCHING,
    "gitConfig": _NO_FETCHING,
    "options.pool": _LEAVE_OUT,
    "options.workerPool": _LEAVE_OUT,
    "options.pubsubTopic": _LEAVE_OUT,
}


def check_submitted(build: Json) -> None:
    """Raise `ApiError` for a build as it was sent: 501, or 400 with all that is wrong with it."""
    for field, words in _unsupported(build):
        raise unimplemented(f"localcloud does not implement build.{field}: {words}")
    _refuse([*problems(build), *undefined(build)])


def check_substituted(build: Json) -> None:
    """Raise `ApiError` 400 for a build whose substitutions are made, with all that is wrong with it."""
    _refuse(problems(build, substituted=True))


def _refuse(found: Sequence[Problem]) -> None:
    if found:
        raise invalid("invalid build: " + "; ".join(problem.text for problem in found))


def _unsupported(build: Json) -> Iterator[tuple[str, str]]:
    for field, words in _UNSUPPORTED.items():
        outer, _, inner = field.partition(".")
        if (part(build, outer).get(inner) if inner else build.get(outer)) is not None:
            yield field, words
    for index, step in objects(build, "steps"):
        if "results" in step:
            yield f"steps[{index}].results", _LEAVE_OUT
