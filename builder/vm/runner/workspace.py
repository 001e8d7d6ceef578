"""Unpacks the job's workspace on the VM's disk, and verifies its notebook."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from builder.vm.notebook_shape import normalize
from builder.vm.protocol import Job

from .fault import Fault


def unpack(archive: Path, target: Path) -> None:
    """Unpack a staged tree. Raises `Fault` for a member outside `target`, and `OSError` on a full disk."""
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
    """Return the notebook's path, and its content as papermill runs it.

    Raises `Fault` if it is not the staged one, or cannot be read.
    """
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
    normalize(notebook)
    return path, notebook


def files(tree: Path) -> list[Path]:
    """Return every file of the unpacked tree."""
    return sorted(path for path in tree.rglob("*") if path.is_file())


def empty_outputs(folder: Path) -> Path:
    """Create an empty `outputs/` beside the notebook, and return it. A staged one is deleted."""
    outputs = folder / "outputs"
    if outputs.is_symlink() or outputs.is_file():
        outputs.unlink()
    elif outputs.exists():
        shutil.rmtree(outputs)
    outputs.mkdir()
    return outputs
