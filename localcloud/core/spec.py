"""The description of a service for the rest of localcloud: one value, `SPEC`, in the service's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.core.caller import Caller
from localcloud.core.errors import ApiError

Types = type | tuple[type, ...]


@dataclass(frozen=True)
class FaultForm:
    """A fault's action: the methods that it acts on, and its arguments with their types.

    `methods` None stands for every call of an API. Exactly one of the arguments in `one_of` is needed.
    """

    methods: tuple[str, ...] | None = None
    required: Mapping[str, Types] = field(default_factory=dict)
    optional: Mapping[str, Types] = field(default_factory=dict)
    one_of: Mapping[str, Types] = field(default_factory=dict)

    @property
    def types(self) -> Mapping[str, Types]:
        """Every argument with its types."""
        return {**self.required, **self.optional, **self.one_of}


@dataclass(frozen=True)
class Library:
    """The client library of an API: its distribution, the module that declares its messages, their proto package."""

    distribution: str
    module: str
    package: str


@dataclass(frozen=True)
class Spec:
    """A service. `build` makes its parts from a `services.context.Context`: objects of `core.service`'s protocols."""

    build: Callable[[Any], Sequence[Any]]
    service: str
    """The name by which a project enables it: "pubsub.googleapis.com"."""
    apis: tuple[str, ...]
    """Discovery documents, such as "pubsub.v1". Methods that no part handles are refused by name."""
    endpoint: str = ""
    """The end of gcloud's variable for the service's address: CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB."""
    gcloud_path: str = ""
    """The path that gcloud expects at the end of that address: "compute/v1/"."""
    permissions: str = ""
    """The beginning of the service's permissions, up to the first dot."""
    denied: Callable[[Caller, str, str], ApiError] | None = None
    """Makes the service's 403 of the caller, the permission and the resource; None for the usual words."""
    libraries: Mapping[str, Library] = field(default_factory=dict)
    """By API, where Google's client sends enums as numbers."""
    methods: tuple[str, ...] = ()
    """Ids of requests that are no methods of an API, for faults and counts."""
    events: tuple[str, ...] = ()
    """Ids of events that a fault may act on although no request is made."""
    faults: Mapping[str, FaultForm] = field(default_factory=dict)
    """Actions of faults beside those that act on every call."""
    needs_port: bool = False
    """True if the service makes requests of its own until it has ended, so it ends while localcloud still answers."""
