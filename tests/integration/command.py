"""`run` as a command in this process.

From the options to the last lines, on the moved clock and the in-process cloud.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from builder import cli
from builder.commands import Context
from builder.errors import BuilderError, ExitCode, Interrupted
from builder.gcp.compute import GoogleMachines
from builder.gcp.storage import GoogleObjectStore
from builder.report import ending
from builder.report.console import Console
from builder.waiting import RealClock
from localcloud.core.iam import PROJECT, email
from tests.integration.cloud_fixture import BUCKET, NOTEBOOK, ZONE, CloudFixture

T = TypeVar("T")


class InProcess(Context):
    """A context whose work is done on this thread, and whose process does not exit after a signal."""

    def carry_out(self, work: Callable[[], T], cancelled: Callable[[Interrupted], int]) -> T:
        try:
            return work()
        except Interrupted as interrupted:
            return cast("T", cancelled(interrupted))


@dataclass
class Command:
    """One repository and the command in it. `log` has what it prints, and its own warnings."""

    cloud_fixture: CloudFixture
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.write("demo.ipynb", json.dumps(NOTEBOOK))
        closing = self.cloud_fixture.closing
        for module, kind in (("compute", GoogleMachines), ("storage", GoogleObjectStore)):

            def tracked(*given: Any, kind: Any = kind, **named: Any) -> Any:
                made = kind(*given, **named)
                closing.callback(made.close)
                return made

            self.monkeypatch.setattr(f"builder.gcp.{module}.{kind.__name__}", tracked)
        self.monkeypatch.setattr(
            "builder.gcp.clients.open_access", lambda _project, _endpoints: self.cloud_fixture.access()
        )

    @property
    def log(self) -> str:
        return self.cloud_fixture.log.getvalue()

    def write(self, name: str, content: str) -> None:
        (self.folder / name).write_text(content)

    def environment(self) -> Mapping[str, str]:
        return {
            "PROJECT_ID": PROJECT,
            "NB_NOTEBOOKS": "demo.ipynb",
            "NB_GCS_LOCATION": f"gs://{BUCKET}/{self.cloud_fixture.prefix}",
            "NB_VM_SERVICE_ACCOUNT": email("notebook-vm"),
            "NB_ZONES": ZONE,
            "NB_IMAGE_FAMILY": "debian-12",
            "NB_IMAGE_PROJECT": "debian-cloud",
            "NB_MAX_ATTEMPTS": "1",
            "NB_BOOT_TIMEOUT": "60",
            "NB_RUN_ID": "run-1",
            **self.options,
        }

    def run(self, *arguments: str) -> int:
        """Carry the command out, `run` without arguments. Returns the exit code, as `cli.main` does."""
        console = Console(self.cloud_fixture.log)
        context = InProcess(
            self.folder, self.cloud_fixture.cancellation, cast("RealClock", self.cloud_fixture.time), console
        )
        handler = logging.StreamHandler(self.cloud_fixture.log)
        logging.getLogger("builder").addHandler(handler)
        try:
            return cli.carry_out(list(arguments or ["run"]), self.environment(), context)
        except BuilderError as error:
            ending.failed(console, error)
            return int(error.exit_code)
        except Exception:  # noqa: BLE001 - as `cli.main`
            return int(ExitCode.BUG)
        finally:
            logging.getLogger("builder").removeHandler(handler)

    def kept(self) -> list[str]:
        """The folders below the location that have objects, without those that a lifecycle rule empties."""
        store = self.cloud_fixture.store()
        prefix = f"{self.cloud_fixture.prefix}/"
        found = {item.name.removeprefix(prefix).partition("/")[0] for item in store.list(prefix)}
        return sorted(found - {"kits", "results", "staging"})
