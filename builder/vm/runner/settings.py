"""What the VM was asked to do: the settings from its metadata, and the job from the bucket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# papermill's tag for the cell with the parameters that it was given.
INJECTED = "injected-parameters"
REASONS = {
    "cell_timeout",
    "notebook_timeout",
    "kernel_died",
    "kernel_not_found",
    "disk_full",
    "notebook_unreadable",
    "gpu_not_visible",
    "lease_lost",
    "setup_failed",
    "setup_timeout",
    "requirements_unresolvable",
    "requirements_timeout",
    "index_unreachable",
    "index_refused",
    "secret_refused",
    "secret_unfit",
    "secret_unavailable",
    "secret_in_source",
    "secret_in_output",
    "preempted",
    "workspace",
    "forbidden",
    "storage",
    "runner",
}


class Fault(Exception):
    """Why the job ended other than by papermill's own exit: one of `REASONS`, a text, the cell where there is one."""

    def __init__(self, reason: str, message: str, cell: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason if reason in REASONS else "runner"
        self.message = message
        self.cell = cell


@dataclass(frozen=True)
class Staged:
    """An object that the builder staged, and the hash it must have."""

    name: str
    sha256: str

    @classmethod
    def of(cls, value: dict[str, Any]) -> Staged:
        """Read it from its JSON."""
        return cls(str(value["object"]), str(value["sha256"]))


@dataclass(frozen=True)
class Accelerator:
    """A GPU that the VM must see: what was asked for, and how many."""

    type: str
    count: int

    @classmethod
    def of(cls, value: dict[str, Any]) -> Accelerator:
        """Read it from its JSON."""
        return cls(str(value["type"]), int(value["count"]))


@dataclass(frozen=True)
class LeaseTerms:
    """The object that a living builder renews, and for how many seconds it may stand still."""

    object: str
    seconds: float

    @classmethod
    def of(cls, value: dict[str, Any]) -> LeaseTerms:
        """Read it from its JSON."""
        return cls(str(value["object"]), float(value["seconds"]))


@dataclass(frozen=True)
class Settings:
    """The `nb-job` metadata value, with the bootstrap's folder and start time (monotonic seconds)."""

    home: Path
    started: float
    storage_endpoint: str
    secretmanager_endpoint: str
    bucket: str
    job: Staged
    attempt_prefix: str
    run: str
    job_id: str
    attempt: int
    nonce: str
    boot_timeout: float
    lease: LeaseTerms
    uv: Staged

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read the file that the bootstrap left."""
        value = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            home=Path(value["home"]),
            started=float(value["started"]),
            storage_endpoint=str(value["storage_endpoint"]),
            secretmanager_endpoint=str(value["secretmanager_endpoint"]),
            bucket=str(value["bucket"]),
            job=Staged.of(value["job"]),
            attempt_prefix=str(value["attempt_prefix"]),
            run=str(value["run"]),
            job_id=str(value["job_id"]),
            attempt=int(value["attempt"]),
            nonce=str(value["nonce"]),
            boot_timeout=float(value["boot_timeout"]),
            lease=LeaseTerms.of(value["lease"]),
            uv=Staged.of(value["kits"]["uv"]),
        )

    @property
    def boot_deadline(self) -> float:
        """Until when staged objects may still be on their way (monotonic seconds)."""
        return self.started + self.boot_timeout


@dataclass(frozen=True)
class Setup:
    """The set-up script, a path in the workspace, and its limit in seconds."""

    path: str
    timeout: float

    @classmethod
    def of(cls, value: dict[str, Any]) -> Setup:
        """Read it from its JSON."""
        return cls(str(value["path"]), float(value["timeout"]))


@dataclass(frozen=True)
class Line:
    """One line of a requirements file: the project's normalized name ("" for a path or URL), where it stands, its text."""

    name: str
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file} line {self.line} ({self.text})"


@dataclass(frozen=True)
class Requirements:
    """The requirements file, a path in the workspace, the index (None: uv's own), the limit in seconds, and its lines.

    `frozen` is what a proven run installed, each as name==version: the same is to be installed again. None: no run went before.
    """

    path: str
    timeout: float
    index_url: str | None
    require_hashes: bool
    lines: tuple[Line, ...]
    frozen: tuple[str, ...] | None = None

    @classmethod
    def of(cls, value: dict[str, Any]) -> Requirements:
        """Read it from its JSON."""
        frozen = value.get("frozen")
        return cls(
            path=str(value["path"]),
            timeout=float(value["timeout"]),
            index_url=value.get("index_url"),
            require_hashes=bool(value["require_hashes"]),
            lines=tuple(
                Line(str(line["name"]), str(line["file"]), int(line["line"]), str(line["text"]))
                for line in value["lines"]
            ),
            frozen=None if frozen is None else tuple(str(package) for package in frozen),
        )


@dataclass(frozen=True)
class Job:
    """job.json: one notebook, its inputs and its limits (seconds). `secrets` holds resources by variable, no values."""

    job: str
    notebook: str
    name: str
    workspace: Staged
    parameters: Staged | None
    notebook_sha256: str
    kernel: str | None
    env: dict[str, str]
    setup: Setup | None
    requirements: Requirements | None
    timeout: float
    cell_timeout: float | None
    accelerator: Accelerator | None
    heartbeat_seconds: float
    secrets: dict[str, str]

    @classmethod
    def parse(cls, text: bytes) -> Job:
        """Read job.json; raises `Fault` where it is not what the protocol says."""
        try:
            value = json.loads(text)
            cell_timeout = value.get("cell_timeout")
            return cls(
                job=str(value["job"]),
                notebook=str(value["notebook"]),
                name=str(value["name"]),
                workspace=Staged.of(value["workspace"]),
                parameters=Staged.of(value["parameters"]) if value.get("parameters") else None,
                notebook_sha256=str(value["notebook_sha256"]),
                kernel=value.get("kernel"),
                env={str(name): str(text) for name, text in (value.get("env") or {}).items()},
                setup=Setup.of(value["setup"]) if value.get("setup") else None,
                requirements=Requirements.of(value["requirements"]) if value.get("requirements") else None,
                timeout=float(value["timeout"]),
                cell_timeout=None if cell_timeout is None else float(cell_timeout),
                accelerator=Accelerator.of(value["accelerator"]) if value.get("accelerator") else None,
                heartbeat_seconds=float(value.get("heartbeat_seconds", 2)),
                secrets={str(name): str(resource) for name, resource in (value.get("secrets") or {}).items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"job.json is not understood by this kit: {type(error).__name__}: {error}"
            raise Fault("runner", message) from error
