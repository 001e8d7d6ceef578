"""Reads images as an engine saves them: layers, files, settings. What compare.py and sizes.py look at."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from localcloud.core import archives

WHITEOUT = ".wh."

Json = dict[str, Any]


@dataclass(frozen=True)
class File:
    """The entry of an image at one path, without times. `content` is a SHA-256, or the target of a link."""

    kind: str
    mode: int
    owner: tuple[int, int]
    content: str


@dataclass(frozen=True)
class Layer:
    """One layer: the line of the history that made it, and its sizes in bytes, as tar and as tar.gz."""

    made_by: str
    size: int
    compressed: int


class SavedImage:
    """An unpacked `docker save`; its layers are read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifest: Json = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))[0]
        self._document: Json = json.loads((folder / self._manifest["Config"]).read_text(encoding="utf-8"))

    def settings(self) -> Json:
        """Return the image's own settings: entry point, environment, labels and the like, no time of its making."""
        found: Json = self._document["config"]
        return found

    def files(self) -> dict[str, File]:
        """Return what a container of this image sees, by path."""
        seen: dict[str, File] = {}
        for name in self._manifest["Layers"]:
            with tarfile.open(self._folder / name) as archive:
                for member in archive:
                    _lay(seen, member, archive)
        return seen

    def layers(self) -> Iterator[Layer]:
        """Yield the layers from the base's first one up, compressed as registries keep them (gzip, level 6)."""
        history = [entry for entry in self._document["history"] if not entry.get("empty_layer")]
        for entry, name in zip(history, self._manifest["Layers"], strict=True):
            data = (self._folder / name).read_bytes()
            made_by = entry.get("created_by") or entry.get("comment", "")
            yield Layer(made_by, len(data), len(gzip.compress(data, compresslevel=6)))


@contextmanager
def saved(image: str) -> Iterator[SavedImage]:
    """Save `image` from the engine into a folder that lasts as long as the block. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="image-") as scratch:
        command = [os.environ.get("DOCKER", "docker"), "save", image]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as engine:
            try:
                with tarfile.open(fileobj=engine.stdout, mode="r|") as archive:
                    archives.unpack(archive, Path(scratch))
            except tarfile.ReadError:
                engine.wait()
        if engine.returncode:
            raise subprocess.CalledProcessError(engine.returncode, command)
        yield SavedImage(Path(scratch))


def _lay(seen: dict[str, File], member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
    """Put one member of a layer over what the layers below it left. A hard link is the file that it leads to."""
    path = PurePosixPath(member.name)
    if path.name.startswith(WHITEOUT):
        hidden = str(path.parent / path.name.removeprefix(WHITEOUT))
        for known in [name for name in seen if name == hidden or name.startswith(f"{hidden}/")]:
            del seen[known]
    elif member.islnk():
        seen[str(path)] = seen[str(PurePosixPath(member.linkname))]
    else:
        content = member.linkname
        if member.isfile() and (file := archive.extractfile(member)):
            content = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        kind = member.type.decode("ascii")
        seen[str(path)] = File(kind, member.mode, (member.uid, member.gid), content)
