"""The context of a deployment: its options, Google's clients, and the names of its objects and resources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from builder.deploy import live as documents
from builder.deploy.function_source import FunctionSource
from builder.deploy.live import Accounts, ArchiveRef, Live, LiveDocument, Location
from builder.deploy.locations import Locations
from builder.deploy.names import Names
from builder.deploy.refusals import elsewhere
from builder.deploy.resources import Resources, resources
from builder.deploy_ports import Clients
from builder.options import Deployment, Options
from builder.ports import ObjectStore

_JSON = "application/json"


@dataclass(frozen=True)
class DeploymentContext:
    """One deployment. `source` is the function's source archive; `log` reports progress, one line at a time."""

    options: Options
    deployment: Deployment
    project: str
    store: ObjectStore
    clients: Clients
    source: FunctionSource
    log: Callable[[str], None]

    @property
    def live(self) -> str:
        """The name of live.json in the bucket."""
        return documents.live_object(self.options.gcs_location, self.deployment.function)

    @property
    def live_url(self) -> str:
        """The gs:// address of live.json."""
        return f"gs://{self.store.bucket}/{self.live}"

    @property
    def location(self) -> Location:
        """The location that the options ask for."""
        return Location(self.project, self.deployment.region, self.deployment.topic)

    @property
    def locations(self) -> Locations:
        """The recorded locations of the deployment's resources."""
        name = documents.locations_object(self.options.gcs_location, self.deployment.function)
        return Locations(self.store, name, self.project, self.log)

    def names(self, location: Location) -> Names:
        """The names of the deployment's resources in a location."""
        return Names(self.project, location.region, self.deployment.function, location.topic, self.live_url)

    @property
    def accounts(self) -> Accounts:
        """The service accounts that the options ask for."""
        deployment = self.deployment
        return Accounts(
            function=self.account(deployment.function_service_account, "notebook-function"),
            function_build=self.account(deployment.function_build_service_account, "notebook-function-build"),
            trigger=self.account(deployment.trigger_service_account, "notebook-trigger"),
        )

    def account(self, given: str | None, name: str) -> str:
        """The address of a service account: `given`, or the account `name` of the project."""
        owner = ".".join(reversed(self.project.split(":")))  # example.com:project has project.example.com
        return given or f"{name}@{owner}.iam.gserviceaccount.com"

    def resources(self, wanted: Live, *, any_code: bool = False) -> Resources:
        """The desired resources of a promotion. `any_code`: the function keeps the code that it has."""
        return resources(
            self.names(wanted.location),
            wanted.accounts,
            endpoints=self.options.endpoints,
            source=self.source.zip,
            code=self.source.sha256,
            cron=wanted.schedule.cron,
            time_zone=wanted.schedule.time_zone,
            any_code=any_code,
        )

    def is_archive_gone(self, archive: ArchiveRef) -> bool:
        """Return True if no build can fetch the archive: it is gone, or another one has replaced it."""
        found = self.store.stat(archive.object)
        return found is None or str(found.generation) != archive.generation

    def current(self) -> tuple[LiveDocument | None, int]:
        """live.json and its generation; None and 0 if it does not exist.

        Raises ProjectSetup if this version cannot read it, or if it describes a deployment in another project.
        """
        found = self.store.read_newer(self.live, 0)
        if found is None:
            return None, 0
        document = documents.decode(found[0], self.live_url)
        self.check_project(document)
        return document, found[1]

    def check_project(self, document: LiveDocument) -> None:
        """Raise ProjectSetup if the document describes a deployment in another project, whose resources stay there."""
        there = document.live.location.project
        if there != self.project:
            raise elsewhere(self.live_url, there, self.project)

    def write(self, document: LiveDocument, generation: int) -> bool:
        """Write live.json over exactly this generation (0: none); False if its generation is another one."""
        written = self.store.swap(self.live, document.encode(), generation=generation, content_type=_JSON)
        return written is not None
