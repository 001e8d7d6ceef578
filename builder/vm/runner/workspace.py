"""The job's inputs on the VM's disk: fetched, verified, unpacked."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from .settings import Fault, Job


def unpack(archive: Path, target: Path) -> None:
    """Unpack a staged tree; raises `Fault` for anything that would leave `target`, or a full disk's `OSError`."""
    target.mkdir()
    try:
        with tarfile.open(archive, "r:*") as tree:
            if hasattr(tarfile, "data_filter"):
                tree.extractall(target, filter="data")
            else:  # CPython 3.11 before 3.11.4: plain files only
                tree.extractall(target, members=[_plain(member) for member in tree])  # noqa: S202 - checked by _plain
    except tarfile.TarError as error:
        message = f"{archive.name} cannot be unpacked: {error}"
        raise Fault("workspace", message) from error


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()) or path.is_absolute() or ".." in path.parts:
        message = f"{member.name!r} is neither a plain file nor a folder"
        raise tarfile.TarError(message)
    return member


def open_notebook(tree: Path, job: Job) -> tuple[Path, dict[str, Any]]:
    """Return the notebook's path and content. Raises `Fault` when it is not the one that was staged, or unreadable."""
    path = tree / job.notebook
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"{job.notebook} is not in the workspace: {error.strerror}"
        raise Fault("workspace", message) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != job.notebook_sha256:
        message = f"{job.notebook} has sha256 {digest}, not {job.notebook_sha256} as staged"
        raise Fault("workspace", message)
    try:
        notebook = json.loads(content)
    except ValueError as error:
        message = f"{job.notebook} is not JSON: {error}"
        raise Fault("notebook_unreadable", message) from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        message = f"{job.notebook} has no list of cells"
        raise Fault("notebook_unreadable", message)
    return path, notebook


def files(tree: Path) -> list[Path]:
    """Return every file of the unpacked tree."""
    return sorted(path for path in tree.rglob("*") if path.is_file())


def empty_outputs(folder: Path) -> Path:
    """Make `outputs/` beside the notebook, empty whatever was staged."""
    outputs = folder / "outputs"
    if outputs.is_symlink() or outputs.is_file():
        outputs.unlink()
    elif outputs.exists():
        shutil.rmtree(outputs)
    outputs.mkdir()
    return outputs
