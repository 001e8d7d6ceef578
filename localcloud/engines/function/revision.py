"""One revision of a Cloud Run service, and the trigger that sends it events. Values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

INTERNAL_INGRESS = frozenset({"ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"})


@dataclass(frozen=True)
class Trigger:
    """The events that a service gets: of a topic, by a subscription, pushed as an account; `retry` after a failure."""

    event_type: str
    topic: str
    subscription: str
    account: str
    retry: bool


@dataclass(frozen=True)
class Revision:
    """A function's code and how it runs. `service` is "projects/P/locations/L/services/S", `name` the revision's own.

    `folder` is the unpacked source, `log` the file for what the code prints; `python` gives the interpreter with the
    packages that it needs. `timeout` is in seconds, `ingress` as Cloud Functions calls it.
    """

    service: str
    name: str
    folder: Path
    log: Path
    python: Callable[[], Path]
    target: str
    account: str
    variables: Mapping[str, str]
    timeout: int
    most_instances: int
    ingress: str
    trigger: Trigger | None

    @property
    def home(self) -> Path:
        """The home folder of its instances, beside the source."""
        return self.folder.with_name("home")

    @property
    def signature(self) -> str:
        """The type of signature that functions-framework is given."""
        return "http" if self.trigger is None else "cloudevent"
