"""The settings file that the bootstrap leaves for the runner: the VM's metadata, a folder, and the start time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.strict_json import read_object
from builder.vm.protocol import JobMetadata


@dataclass(frozen=True)
class Settings:
    """The runner's settings. `home` is the bootstrap's folder, `started` its start time in monotonic seconds."""

    home: Path
    started: float
    metadata: JobMetadata

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Return the settings in the file that the bootstrap left. Raises `ProtocolError`."""
        content = path.read_bytes()
        metadata, value = JobMetadata.decode(content), read_object(content)
        return cls(Path(value["home"]), float(value["started"]), metadata)

    @property
    def boot_deadline(self) -> float:
        """The time until which staged objects may be missing (monotonic seconds)."""
        return self.started + self.metadata.boot_timeout
