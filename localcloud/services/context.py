"""The shared parts that services are built from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from localcloud.core.clock import Clock
from localcloud.core.control import Route
from localcloud.core.enabled import EnabledServices
from localcloud.core.faults import FaultPlan
from localcloud.core.findings import Findings
from localcloud.core.iam import Iam, Profile
from localcloud.engines.build import Runner
from localcloud.engines.vm import Boot

_T = TypeVar("_T")


@dataclass
class Context:
    """A local cloud while its services are built, one after another.

    `url` returns its address. `identity(account)` returns the variables that lead a process to the metadata server
    of an account, `environment(account)` all that lead Google's clients here.
    """

    state: Path
    clock: Clock
    iam: Iam
    enabled: EnabledServices
    faults: FaultPlan
    findings: Findings
    url: Callable[[], str]
    identity: Callable[[str], Mapping[str, str]]
    environment: Callable[[str], Mapping[str, str]]
    boot: Boot
    profile: Profile
    runners: Mapping[str, Runner]
    default_runner: str
    parts: list[Any] = field(default_factory=list)
    routes: dict[str, Route] = field(default_factory=dict)
    """Control routes below /_localcloud/, by a pattern of their path."""
    reaches: Callable[[str], bool] = lambda _vm: True
    """True if requests of a VM, named by its path, arrive. Compute Engine sets it."""
    when_bound: list[Callable[[], None]] = field(default_factory=list)
    """Called once localcloud's address is known, before the first call is answered."""

    def part(self, kind: type[_T]) -> _T:
        """Return the part of a type that an earlier service has built."""
        return next(part for part in self.parts if isinstance(part, kind))
