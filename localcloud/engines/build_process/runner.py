"""ProcessRunner: the steps of a build as processes of this machine, each with the file system of a Cloud Build step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from localcloud.engines import build_workspace
from localcloud.engines.build import RunnerError, StepOrder
from localcloud.engines.build_process import launcher
from localcloud.engines.build_process.images import OwnImage, ProcessImages
from localcloud.engines.build_process.layout import layout, needed
from localcloud.engines.supervisor import OwnedProcess

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HOME = "/builder/home"
_OUTPUTS = "/builder/outputs"
_WORLD_WRITABLE = 0o1777


class ProcessRunner:
    """Runs steps as processes with this user's rights: only paths and environment are isolated.

    `own` is its image beside shells and git. `plain` makes no mount namespaces, as if the kernel refuses them.
    """

    name = "process"

    def __init__(self, own: OwnImage, *, plain: bool = False) -> None:
        self._plain = "switched off" if plain else None
        self.images = ProcessImages(own)

    def open(self, build_id: str, folder: Path) -> ProcessWorker:  # noqa: ARG002  the folder is the build's already
        """Make a worker in an empty directory."""
        return ProcessWorker(folder.resolve(), self._plain, self.images)


class ProcessStep:
    """A step that runs; see `RunningStep`."""

    def __init__(self, process: OwnedProcess) -> None:
        if process.stdout is None:
            raise ValueError("the step needs a pipe as its output")
        self.output: IO[bytes] = process.stdout
        self._process = process
        self._over = threading.Event()
        threading.Thread(target=self._watch, name=f"step-{process.pid}", daemon=True).start()

    def wait(self) -> int:
        """Exit code; 128+N when signal N ended it. Its background processes are gone then."""
        self._over.wait()
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        """Kill all its processes; return once they are gone."""
        self._process.kill()

    def _watch(self) -> None:
        """A container ends with its first process, and so does this."""
        try:
            self._process.wait()
            self._process.kill()
        finally:
            self._over.set()


class ProcessWorker:
    """One build's directories on the host; see `Worker`."""

    def __init__(self, folder: Path, plain: str | None, images: ProcessImages) -> None:
        self._folder = folder
        self._images = images
        self._plain = plain
        self._lock = threading.Lock()
        self._steps: list[ProcessStep] = []
        self._closed = False
        self.workspace: Path | None = folder / "workspace"
        for path in (folder / "workspace", folder / "home", folder / "steps"):
            path.mkdir()

    def unpack(self, archive: Path) -> None:
        """Unpack the source into /workspace."""
        build_workspace.unpack(archive, self._folder / "workspace")

    def start(self, order: StepOrder) -> ProcessStep:
        """Start a step; RunnerError for an image that no program of this machine replaces."""
        argv = self._images.command(order.image, order.entrypoint, order.args)
        if order.script is not None:
            argv = [launcher.SCRIPT]
        with self._lock:
            if self._closed:
                raise RunnerError("the build is over")
            plan = self._prepare(order, argv)
            step = ProcessStep(_launch(plan, _environment(order), self._folder))
            self._steps.append(step)
        return step

    def describe(self, image: str) -> str:
        """Return the log's line about an image. `start` refuses an unknown one, which would have to be pulled."""
        found = self._images.is_known(image)
        return f"Already have image (with digest): {image}" if found else f"Pulling image: {image}"

    def step_output(self, index: int) -> bytes:
        """First bytes of the step's $BUILDER_OUTPUT/output."""
        return build_workspace.read_output(self._step_folder(index) / "outputs")

    def push(self, image: str, log: Callable[[str], None]) -> str:  # noqa: ARG002
        """Raise RunnerError: processes make no images."""
        raise RunnerError(
            f"image {image} cannot be pushed: the process runner has no images; use `--runner docker`"
        )

    def close(self) -> None:
        """End what still runs and remove the build's directory."""
        with self._lock:
            self._closed = True
        for step in self._steps:
            step.kill()
            step.wait()
            step.output.close()
        self._steps.clear()
        build_workspace.remove(self._folder)

    def _step_folder(self, index: int) -> Path:
        return self._folder / "steps" / str(index)

    def _prepare(self, order: StepOrder, argv: list[str]) -> Path:
        """Make the step's own directories, and write the launcher's order; return that file's path."""
        folder = self._step_folder(order.index)
        folder.mkdir()
        for name in ("root", "outputs", "tmp", "script"):
            (folder / name).mkdir()
        (folder / "tmp").chmod(_WORLD_WRITABLE)
        if order.script is not None:
            _write_script(folder / "script", order.script)
        mounts = self._mounts(folder)
        view = layout([path for _, path in mounts], needed(self._images.own.folder))
        plan = {
            "argv": argv,
            "directory": os.path.normpath(order.directory),
            "base": str(folder / "root"),
            "mounts": mounts,
            "kept": view.kept,
            "plain": self._plain or view.conflict,
        }
        path = folder / "plan.json"
        path.write_text(json.dumps(plan))
        return path

    def _mounts(self, folder: Path) -> list[tuple[str, str]]:
        """The build's and the step's own directories, each with its path in the step."""
        return [
            (str(self._folder / "workspace"), build_workspace.WORKSPACE),
            (str(self._folder / "home"), _HOME),
            (str(folder / "outputs"), _OUTPUTS),
            (str(folder / "script"), os.path.dirname(launcher.SCRIPT)),  # noqa: PTH120
            (str(folder / "tmp"), "/tmp"),  # noqa: S108
        ]


def _environment(order: StepOrder) -> dict[str, str]:
    """The step's whole environment, without this process's own variables."""
    interpreter = os.path.dirname(sys.executable)  # noqa: PTH120
    begin = {"PATH": f"{interpreter}:{_SYSTEM_PATH}", "HOME": _HOME, "BUILDER_OUTPUT": _OUTPUTS}
    return {**begin, **order.cloud, **order.variables}


def _write_script(folder: Path, script: str) -> None:
    path = folder / os.path.basename(launcher.SCRIPT)  # noqa: PTH119
    path.write_bytes(build_workspace.executable(script))
    path.chmod(0o755)


def _launch(plan: Path, environment: dict[str, str], folder: Path) -> OwnedProcess:
    try:
        return OwnedProcess.start(
            [sys.executable, "-I", "-S", launcher.__file__, str(plan)],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except (OSError, ValueError) as error:
        raise RunnerError(f"the step cannot be started: {error}") from error
