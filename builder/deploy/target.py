"""Where `deploy` works: the options that say so, the doors, and the names of what it makes there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from builder.deploy import live as documents
from builder.deploy.function_source import FunctionSource
from builder.deploy.live import Accounts, Live, LiveDocument, Place
from builder.deploy.names import Names
from builder.deploy.places import Places
from builder.deploy.ports import Doors
from builder.deploy.refusals import elsewhere
from builder.deploy.resources import Resources, resources
from builder.options import Deployment, Options
from builder.ports import ObjectStore

_JSON = "application/json"


@dataclass(frozen=True)
class Outcome:
    """How it ended: whether anything was written, and what to say of it."""

    changed: bool
    message: str


@dataclass(frozen=True)
class Target:
    """One deployment: its options, its project, its bucket, Google's other doors, and the function's source."""

    options: Options
    deployment: Deployment
    project: str
    store: ObjectStore
    doors: Doors
    source: FunctionSource
    say: Callable[[str], None]

    @property
    def live(self) -> str:
        """The name of live.json."""
        return documents.live_object(self.options.location, self.deployment.function)

    @property
    def live_url(self) -> str:
        """Its address."""
        return f"gs://{self.store.bucket}/{self.live}"

    @property
    def place(self) -> Place:
        """Where the options want it."""
        return Place(self.project, self.deployment.region, self.deployment.topic)

    @property
    def places(self) -> Places:
        """Where there is something of it."""
        return Places(
            self.store, documents.places_object(self.options.location, self.deployment.function), self.project
        )

    def names(self, place: Place) -> Names:
        """What its resources are called at a place."""
        return Names(self.project, place.region, self.deployment.function, place.topic, self.live_url)

    @property
    def accounts(self) -> Accounts:
        """Whom the options want the function to run as, to be made by, and to be invoked by."""
        deployment = self.deployment
        return Accounts(
            function=self.account(deployment.function_account, "function"),
            function_build=self.account(deployment.function_build_account, "function-build"),
            trigger=self.account(deployment.trigger_account, "trigger"),
        )

    def account(self, given: str | None, name: str) -> str:
        """A service account's address: the one given, else the one of this name in the project."""
        owner = ".".join(reversed(self.project.split(":")))  # example.com:project has project.example.com
        return given or f"{name}@{owner}.iam.gserviceaccount.com"

    def resources(self, wanted: Live) -> Resources:
        """What this promotion needs in Google Cloud."""
        return resources(
            self.names(wanted.place),
            wanted.accounts,
            endpoints=self.options.endpoints,
            source=self.source.zip,
            code=self.source.sha256,
            cron=wanted.schedule.cron,
            time_zone=wanted.schedule.time_zone,
        )

    def standing(self) -> tuple[LiveDocument | None, int]:
        """live.json and its generation; None and 0 where there is none.

        Raises ProjectSetup where another version wrote it, or what it tells of is in another project.
        """
        found = self.store.read_newer(self.live, 0)
        if found is None:
            return None, 0
        document = documents.decode(found[0], self.live_url)
        self.check_project(document)
        return document, found[1]

    def check_project(self, document: LiveDocument) -> None:
        """Raises ProjectSetup where the document tells of another project, whose function and schedule nobody would look for."""
        there = document.live.place.project
        if there != self.project:
            raise elsewhere(self.live_url, there, self.project)

    def write(self, document: LiveDocument, generation: int) -> bool:
        """Write live.json over exactly this generation (0: none); False if another one stands there."""
        written = self.store.swap(self.live, document.encode(), generation=generation, content_type=_JSON)
        return written is not None
