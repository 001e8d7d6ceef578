"""live.json: the document that says what a schedule runs. Each promotion is one conditional write of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from builder.errors import ProjectSetup
from builder.model import LIVE_SCHEMA, GcsLocation, JsonObject
from builder.options.day import moment
from builder.strict_json import UnreadableJson, read_document

MAX_EARLIER = 10


@dataclass(frozen=True)
class ArchiveRef:
    """The tested files and exported options, as an object at its generation."""

    object: str
    generation: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Location:
    """The project and region of builds, function and schedule, and the topic that connects them."""

    project: str
    region: str
    topic: str


@dataclass(frozen=True)
class Accounts:
    """The service accounts of the function, of the build that creates it, and of the trigger that invokes it."""

    function: str
    function_build: str
    trigger: str


@dataclass(frozen=True)
class BuilderRef:
    """The builder that runs the archive: its version, its image by digest, and the hash of its kit."""

    version: str
    image: str
    kit: str


@dataclass(frozen=True)
class LiveJob:
    """One job and its proof: the exact image, the packages installed beside it, and the run."""

    job: str
    inputs: str
    image: str
    packages: tuple[str, ...]
    run: str


@dataclass(frozen=True)
class LiveNotebook:
    """A notebook, the types of its parameters (builder.options.message), its jobs, and NB_ALLOW_SECRET_PARAMETERS."""

    path: str
    parameters: Mapping[str, str]
    jobs: tuple[LiveJob, ...]
    allow_secrets: bool = False


@dataclass(frozen=True)
class Schedule:
    """The schedule and the parameters (templates) of each notebook. `cron` None: only messages start a run."""

    cron: str | None
    time_zone: str
    parameters: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Source:
    """The build that promoted: its ID, creation time (RFC 3339) and commit; None where unknown."""

    build: str | None
    created: str
    commit: str | None


@dataclass(frozen=True)
class Live:
    """One promotion. `build` is a complete Cloud Build except for the event, which the function adds."""

    archive: ArchiveRef
    location: Location
    accounts: Accounts
    builder: BuilderRef
    notebooks: tuple[LiveNotebook, ...]
    schedule: Schedule
    builds_per_hour: int
    source: Source
    build: JsonObject

    def content(self) -> JsonObject:
        """The values that make two promotions different: not their builds, and not the runs that proved them."""
        content = asdict(self)
        del content["source"]
        for notebook in content["notebooks"]:
            for job in notebook["jobs"]:
                del job["run"]
        # Tuples become lists, as in a document that was read.
        return json.loads(json.dumps(content))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Newest:
    """The newest build that ever promoted something: an older build that ends later changes nothing."""

    build: str | None
    created: str


@dataclass(frozen=True)
class LiveDocument:
    """The content of live.json. `earlier` holds the previous promotions, the latest first."""

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
        return LiveDocument(live, newest, (self.live, *self.earlier)[:MAX_EARLIER])

    def rolled_back(self) -> LiveDocument:
        """The document after a rollback, with the same `newest`. `earlier` must not be empty."""
        return replace(self, live=self.earlier[0], earlier=self.earlier[1:])


def live_object(location: GcsLocation, function: str) -> str:
    """The name of the function's live.json."""
    return location.object("live", function, "live.json")


def locations_object(location: GcsLocation, function: str) -> str:
    """The name of the object that records the locations of the deployment's resources."""
    return location.object("live", function, "locations.json")


def archive_object(location: GcsLocation, function: str, sha256: str) -> str:
    """The name of an archive."""
    return location.object("live", function, f"{sha256}.tar.gz")


def first(live: Live) -> LiveDocument:
    """The document of a first promotion."""
    return LiveDocument(live, Newest(live.source.build, live.source.created))


def decode(raw: bytes, address: str) -> LiveDocument:
    """Read the document. Raises ProjectSetup if this version cannot read it."""
    try:
        found = read_document(raw, LIVE_SCHEMA)
        moment(found["newest"]["created"])
        return LiveDocument(
            _live(found["live"]), Newest(**found["newest"]), tuple(_live(item) for item in found["earlier"])
        )
    except UnreadableJson as error:
        raise _unreadable(address, str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(address, f"{type(error).__name__}: {error}") from error


def _unreadable(address: str, why: str) -> ProjectSetup:
    return ProjectSetup(
        f"{address} cannot be read: {why}.",
        reason="live_unreadable",
        advice="Another version of Notebook Builder may have written it. Deploy with that one, or undeploy and deploy again.",
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
        location=Location(**found["location"]),
        accounts=Accounts(**found["accounts"]),
        builder=BuilderRef(**found["builder"]),
        notebooks=notebooks,
        schedule=Schedule(**found["schedule"]),
        builds_per_hour=int(found["builds_per_hour"]),
        source=Source(**found["source"]),
        build=dict(found["build"]),
    )
