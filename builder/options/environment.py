"""Reads the environment: NB_ options, Cloud Build's substitutions, and the API endpoints that gcloud reads too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from builder.errors import Problem
from builder.options.flags import nearest
from builder.options.google_names import project
from builder.options.layers import Rank, Setting, show
from builder.options.table import BY_ENV
from builder.options.values import MAX_TEXT, InvalidValue, parse_text
from builder.plain_text import escaped

# Variables of Jupyter's own images; no warning mentions them.
_JUPYTER = frozenset({"NB_USER", "NB_UID", "NB_GID", "NB_UMASK"})
_ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"
SERVICES = (
    "compute",
    "storage",
    "cloudfunctions",
    "cloudscheduler",
    "pubsub",
    "cloudbuild",
    "secretmanager",
    "artifactregistry",
    "run",
    "cloudresourcemanager",
    "iam",
)
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_URL = rf"(https?://{_HOST}(?::[0-9]{{1,5}})?)((?:/[A-Za-z0-9._~-]*)*)"
_VERSION = r"v[0-9]+(?:(?:alpha|beta|p)[0-9]*)*|alpha|beta"


@dataclass(frozen=True)
class Build:
    """Cloud Build's substitutions that are used, each None when absent; and `builder_output`, which every step has."""

    build_id: str | None = None
    commit_sha: str | None = None
    location: str | None = None
    builder_output: str | None = None


@dataclass(frozen=True)
class Environment:
    """The settings of the environment; the NB_ options are not parsed yet."""

    settings: Mapping[str, Setting]
    build: Build
    project: str | None
    endpoints: Mapping[str, str]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def read_environment(env: Mapping[str, str], *, with_options: bool) -> Environment:
    """Return what the environment sets; an empty value counts as unset. Without `with_options`, skip the NB_ names."""
    given = {name: stripped for name, value in env.items() if (stripped := value.strip())}
    problems: list[Problem] = []
    warnings: list[str] = []
    settings = _options(given, problems, warnings) if with_options else {}
    build = Build(**{field.name: _plain(given, field.name.upper(), problems) for field in fields(Build)})
    return Environment(
        settings,
        build,
        _project(given, problems),
        _endpoints(given, problems),
        tuple(problems),
        tuple(warnings),
    )


def _options(given: Mapping[str, str], problems: list[Problem], warnings: list[str]) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for name, value in sorted(given.items()):
        if name in BY_ENV:
            settings[BY_ENV[name].name] = Setting(value, name, Rank.ENVIRONMENT)
        elif name.startswith("NB_") and name not in _JUPYTER:
            meant = nearest(name, tuple(BY_ENV))
            if meant:
                problems.append(Problem(escaped(name), "", f"no such option; did you mean {meant}?"))
            else:
                warnings.append(f"{escaped(name)} is set, but there is no such option; it is ignored.")
    return settings


def _plain(given: Mapping[str, str], name: str, problems: list[Problem]) -> str | None:
    if name not in given:
        return None
    try:
        return parse_text(given[name])
    except InvalidValue as invalid:
        problems.append(Problem(name, show(given[name]), str(invalid)))
        return None


def _project(given: Mapping[str, str], problems: list[Problem]) -> str | None:
    """Return the project in Cloud Build's variable, else in the one that Google's clients read."""
    for name in ("PROJECT_ID", "GOOGLE_CLOUD_PROJECT"):
        if name in given:
            try:
                return project.parse(given[name])
            except InvalidValue as invalid:
                problems.append(Problem(name, show(given[name]), str(invalid)))
                return None
    return None


def _endpoints(given: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    endpoints: dict[str, str] = {}
    for service in SERVICES:
        name = _ENDPOINT + service.upper()
        if name not in given:
            continue
        match = re.fullmatch(_URL, given[name]) if len(given[name]) <= MAX_TEXT else None
        if match is None:
            problems.append(
                Problem(name, show(given[name]), "expected an address such as https://compute.example.com/")
            )
        else:
            endpoints[service] = match[1] + _without_version(match[2], service)
    return endpoints


def _without_version(path: str, service: str) -> str:
    """Return the path without a version. gcloud requires one (`/compute/v1/`); Google's clients add it themselves."""
    parts = [part for part in path.split("/") if part]
    if parts and re.fullmatch(_VERSION, parts[-1]):
        parts.pop()
    if parts and parts[-1] == service:
        parts.pop()
    return "".join(f"/{part}" for part in parts)
