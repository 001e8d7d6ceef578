"""live.json: what a schedule runs. One document per function, written by one conditional write per promotion. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from builder.errors import ProjectSetup
from builder.model import LIVE_SCHEMA, GcsLocation, JsonObject
from builder.options.day import moment
from builder.stored_json import read_object

MOST_EARLIER = 10


@dataclass(frozen=True)
class ArchiveRef:
    """The tested files and frozen options, as an object at its generation."""

    object: str
    generation: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Place:
    """Where builds are submitted, function and schedule are, and the topic between them."""

    project: str
    region: str
    topic: str


@dataclass(frozen=True)
class Accounts:
    """Addresses of service accounts: whom the function runs as, whom the build that makes it, and who may invoke it."""

    function: str
    function_build: str
    trigger: str


@dataclass(frozen=True)
class BuilderRef:
    """What runs the archive: the builder's version, its image by digest, and the hash of its kit."""

    version: str
    image: str
    kit: str


@dataclass(frozen=True)
class LiveJob:
    """One job with what it was proven with: exact image, packages beside it, and the run whose summary says so."""

    job: str
    inputs: str
    image: str
    packages: tuple[str, ...]
    run: str


@dataclass(frozen=True)
class LiveNotebook:
    """A notebook, its declared parameters by kind (see builder.options.message), its jobs, and NB_ALLOW_SECRET_PARAMETERS."""

    path: str
    parameters: Mapping[str, str]
    jobs: tuple[LiveJob, ...]
    allow_secrets: bool = False


@dataclass(frozen=True)
class Schedule:
    """When, in which time zone, and with which parameters (templates), by notebook. `cron` None: by message alone."""

    cron: str | None
    time_zone: str
    parameters: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Source:
    """The build that promoted it and when that was created (RFC 3339), and its commit; None where unknown."""

    build: str | None
    created: str
    commit: str | None


@dataclass(frozen=True)
class Live:
    """One promotion. `build` is a whole Cloud Build but for the event, which the function adds."""

    archive: ArchiveRef
    place: Place
    accounts: Accounts
    builder: BuilderRef
    notebooks: tuple[LiveNotebook, ...]
    schedule: Schedule
    builds_per_hour: int
    source: Source
    build: JsonObject

    def content(self) -> JsonObject:
        """All that makes it another one: not who promoted it, nor which of several green runs proved it."""
        told = asdict(self)
        del told["source"]
        for notebook in told["notebooks"]:
            for job in notebook["jobs"]:
                del job["run"]
        return json.loads(json.dumps(told))  # type: ignore[no-any-return]  # tuples and lists are the same in JSON


@dataclass(frozen=True)
class Newest:
    """The newest build that ever promoted something here: an older one that comes late changes nothing."""

    build: str | None
    created: str


@dataclass(frozen=True)
class LiveDocument:
    """The whole of live.json; `earlier` holds what was live before, the latest first."""

    live: Live
    newest: Newest
    earlier: tuple[Live, ...] = ()

    def encode(self) -> bytes:
        """The document as it is stored."""
        return (
            json.dumps({"schema": LIVE_SCHEMA, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"
        ).encode()

    def promoted(self, live: Live) -> LiveDocument:
        """The document after this promotion."""
        newest = Newest(live.source.build, live.source.created)
        return LiveDocument(live, newest, (self.live, *self.earlier)[:MOST_EARLIER])

    def rolled_back(self) -> LiveDocument:
        """The document with what was live before; `earlier` must not be empty. What is newest stays so."""
        return replace(self, live=self.earlier[0], earlier=self.earlier[1:])


def live_object(location: GcsLocation, function: str) -> str:
    """The name of the function's live.json."""
    return location.object("live", function, "live.json")


def places_object(location: GcsLocation, function: str) -> str:
    """The name of the object that says where the deployment has resources."""
    return location.object("live", function, "places.json")


def archive_object(location: GcsLocation, function: str, sha256: str) -> str:
    """The name of an archive."""
    return location.object("live", function, f"{sha256}.tar.gz")


def first(live: Live) -> LiveDocument:
    """The document of a first promotion."""
    return LiveDocument(live, Newest(live.source.build, live.source.created))


def decode(raw: bytes, address: str) -> LiveDocument:
    """The document in these bytes. Raises ProjectSetup where it is none that this version can read."""
    try:
        found = read_object(raw)
        if found["schema"] != LIVE_SCHEMA:
            raise _unreadable(address, f"its schema is {found['schema']!r}")
        moment(found["newest"]["created"])
        return LiveDocument(
            _live(found["live"]), Newest(**found["newest"]), tuple(_live(item) for item in found["earlier"])
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(address, f"{type(error).__name__}: {error}") from error


def _unreadable(address: str, why: str) -> ProjectSetup:
    return ProjectSetup(
        f"{address} cannot be read: {why}.",
        reason="live_unreadable",
        advice="Another version of Notebook Builder may have written it: deploy with that one, or undeploy and deploy anew.",
    )


def _live(found: Mapping[str, Any]) -> Live:
    notebooks = tuple(
        LiveNotebook(
            item["path"],
            dict(item["parameters"]),
            tuple(LiveJob(**{**job, "packages": tuple(job["packages"])}) for job in item["jobs"]),
            item["allow_secrets"] is True,
        )
        for item in found["notebooks"]
    )
    return Live(
        archive=ArchiveRef(**found["archive"]),
        place=Place(**found["place"]),
        accounts=Accounts(**found["accounts"]),
        builder=BuilderRef(**found["builder"]),
        notebooks=notebooks,
        schedule=Schedule(**found["schedule"]),
        builds_per_hour=int(found["builds_per_hour"]),
        source=Source(**found["source"]),
        build=dict(found["build"]),
    )
