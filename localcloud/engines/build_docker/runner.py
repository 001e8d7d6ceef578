"""DockerRunner: the steps of a build as containers, unprivileged, and by default without the engine's socket."""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from localcloud.engines import build_workspace
from localcloud.engines.build import OUTPUT_LIMIT, RunnerError, StepOrder
from localcloud.engines.build_docker import guard
from localcloud.engines.build_docker.cli import LABEL, Docker, environment_options
from localcloud.engines.build_docker.images import DockerImages
from localcloud.engines.build_docker.step import DockerStep
from localcloud.engines.image_names import parse_image
from localcloud.engines.supervisor import OwnedProcess

_HOME = "/builder/home"
_OUTPUTS = "/builder/outputs"
_SCRIPT = "/builder/script"
_SOCKET = "/var/run/docker.sock"
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")


class DockerRunner:
    """Runs steps as containers of the engine of `docker` (the client's name or path, else $DOCKER).

    `network` is as for `docker run --network`: "host" reaches localcloud on loopback, "container:NAME" that of a
    container. A container runs as its image's user, so an image whose user is not root may find /workspace read-only,
    as on Cloud Build. `socket` gives steps the engine's socket, as Cloud Build does, so that they can build images: it
    gives them this machine.
    """

    name = "docker"

    def __init__(self, *, docker: str | None = None, network: str = "host", socket: bool = False) -> None:
        self._docker = Docker(docker or os.environ.get("DOCKER") or "docker")
        self._surroundings = ["--network", network, *(_socket_mount() if socket else ())]
        self.images = DockerImages(self._docker)

    def open(self, build_id: str, folder: Path) -> DockerWorker:
        """Make a build's volumes; RunnerError when there is no engine."""
        try:
            self._docker.call("version", "--format", "{{.Server.Version}}")
        except RunnerError as error:
            raise RunnerError(f"no Docker engine answers `{self._docker.program}`: {error}") from error
        return DockerWorker(self._docker, self._surroundings, build_id, folder)


class DockerWorker:
    """One build's volumes and containers; see `Worker`."""

    workspace: Path | None = None  # it is in a volume

    def __init__(self, docker: Docker, surroundings: Sequence[str], build_id: str, folder: Path) -> None:
        self._docker = docker
        self._images = DockerImages(docker)
        self._surroundings = surroundings
        self._id = build_id
        self._folder = folder
        self._lock = threading.RLock()  # also held by what it protects
        self._closed = False
        self._steps: list[DockerStep] = []
        self._pulls: list[OwnedProcess] = []
        self._volumes: set[str] = set()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, docker.program, f"{LABEL}={build_id}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            # An image with nothing in it: its containers are never started, and copy to and from volumes.
            empty = docker.call("import", "--change", f"LABEL {LABEL}={build_id}", "-", send=_tar({}))
        except RunnerError:
            self.close()
            raise
        self._empty = empty.decode().strip()

    def unpack(self, archive: Path) -> None:
        """Unpack the source into /workspace, as root's."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder, tempfile.TemporaryFile() as packed:
            build_workspace.unpack(archive, Path(folder))
            with tarfile.open(fileobj=packed, mode="w") as tar:
                tar.add(folder, arcname=".", filter=_as_root)
            packed.seek(0)
            with self._mounted("workspace") as container:
                self._docker.call("cp", "-", f"{container}:/mounted", send=packed)

    def start(self, order: StepOrder) -> DockerStep:
        """Start a step, after pulling a missing image; RunnerError if either fails."""
        found = self._found(order.image)
        pulled = None if found else self._pull(order)
        order = replace(order, image=found or order.image)
        with self._lock:  # close() must see everything that is made here
            self._check_open()
            container = self._create_step(order)
            step = DockerStep(
                self._docker, container, self._docker.start("start", "--attach", container, first=pulled)
            )
            self._steps.append(step)
        return step

    def describe(self, image: str) -> str:
        """Return the log's line about an image; a missing image is pulled when a step starts."""
        try:
            found = self._images.find(image) or image
            digests = self._docker.call("image", "inspect", "--format", "{{len .RepoDigests}}", "--", found)
        except RunnerError:
            return f"Pulling image: {image}"
        return f"Already have image{' (with digest)' if int(digests) else ''}: {image}"

    def step_output(self, index: int) -> bytes:
        """First bytes of the step's $BUILDER_OUTPUT/output."""
        try:
            with self._copied(f"outputs-{index}", "output") as tar:
                first = tar.next()
                file = tar.extractfile(first) if first and first.isreg() else None
                return file.read(OUTPUT_LIMIT) if file else b""
        except RunnerError:  # no such file
            return b""

    def push(self, image: str, log: Callable[[str], None]) -> str:
        """Push an image to its registry, with output to the log; return its digest (sha256:…)."""
        output = []
        with self._docker.start("push", image) as client:
            for line in client.stdout or ():
                output.append(line.decode(errors="replace").rstrip())
                log(output[-1])
            code = client.wait()
        digests = [found[1] for line in output if (found := _DIGEST.search(line))]
        if code or not digests:
            raise RunnerError(
                f"image {image} cannot be pushed: {output[-1] if output else f'docker exited with {code}'}"
            )
        return digests[-1]

    def close(self) -> None:
        """End what still runs; remove containers, volumes and the build's directory."""
        with self._lock:
            self._closed = True
        for pull in self._pulls:
            pull.kill()
        guard.clean(self._docker.program, f"{LABEL}={self._id}")
        for step in self._steps:
            step.wait()
            step.output.close()
        self._steps.clear()
        if self._guard.stdin and not self._guard.stdin.closed:
            self._guard.communicate(b"over")
        build_workspace.remove(self._folder)

    def _found(self, image: str) -> str | None:
        """Return the name or id of an image; None if it must be pulled."""
        if parse_image(image) is None:
            raise RunnerError(f"invalid reference format: {image!r} is not the name of an image")
        return self._images.find(image)

    def _pull(self, order: StepOrder) -> Path:
        """Pull a step's image; return a file with the output."""
        log = self._folder / f"pull-{order.index}.log"
        with log.open("wb") as file:
            with self._lock:
                self._check_open()
                client = self._docker.start("pull", order.image, stdout=file)
                self._pulls.append(client)
            with client:
                code = client.wait()
        if code:
            output = log.read_text(errors="replace").strip().splitlines()
            raise RunnerError(
                f"image {order.image} cannot be pulled: {output[-1] if output else 'the build is over'}"
            )
        return log

    def _check_open(self) -> None:
        if self._closed:
            raise RunnerError("the build is over")

    def _create_step(self, order: StepOrder) -> str:
        """Make a step's container; return its name."""
        name = f"step_{order.index}_{self._id[:8]}"
        options, lines, variables = environment_options(
            {"HOME": _HOME, "BUILDER_OUTPUT": _OUTPUTS, **order.cloud, **order.variables}
        )
        self._docker.call(
            *self._create(name),
            *("--workdir", order.directory, *self._surroundings),
            *("--security-opt", "no-new-privileges"),
            *options,
            *self._mounts(order),
            *_command(order),
            send=lines,
            variables=variables,
        )
        if order.script is not None:
            script = _tar({_SCRIPT[1:]: build_workspace.executable(order.script)})
            self._docker.call("cp", "-", f"{name}:/", send=script)
        return name

    def _create(self, name: str) -> list[str]:
        return ["create", "--name", name, "--label", f"{LABEL}={self._id}", "--pull", "never"]

    def _mounts(self, order: StepOrder) -> list[str]:
        """Options for the volumes that a step has."""
        mounts = [
            ("workspace", build_workspace.WORKSPACE),
            ("home", _HOME),
            (f"outputs-{order.index}", _OUTPUTS),
        ]
        return [part for name, path in mounts for part in ("--volume", f"{self._volume(name)}:{path}")]

    def _volume(self, name: str) -> str:
        """Full name of a volume of the build; it is made at its first use."""
        full = f"localcloud-{self._id}-{name}"
        with self._lock:
            self._check_open()
            if full not in self._volumes:
                self._docker.call("volume", "create", "--label", f"{LABEL}={self._id}", full)
                self._volumes.add(full)
        return full

    @contextlib.contextmanager
    def _mounted(self, volume: str) -> Iterator[str]:
        """Yield a container that is never started and has a volume at /mounted."""
        name = f"copy_{secrets.token_hex(8)}"
        mount = f"{self._volume(volume)}:/mounted"
        self._docker.call(*self._create(name), "--volume", mount, self._empty, "nothing")
        try:
            yield name
        finally:
            self._docker.call("rm", name)

    @contextlib.contextmanager
    def _copied(self, volume: str, path: str) -> Iterator[tarfile.TarFile]:
        """Yield a tar archive of a volume's path; RunnerError if it does not exist."""
        with tempfile.TemporaryFile() as packed:
            with self._mounted(volume) as container:
                self._docker.call("cp", f"{container}:/mounted/{path}", "-", receive=packed)
            packed.seek(0)
            with tarfile.open(fileobj=packed) as tar:
                yield tar


def _socket_mount() -> list[str]:
    """Options that mount the engine's socket at Cloud Build's path."""
    named = os.environ.get("DOCKER_HOST", "")
    socket = named.removeprefix("unix://") if named.startswith("unix://") else _SOCKET
    return ["--volume", f"{socket}:{_SOCKET}"]


def _command(order: StepOrder) -> list[str]:
    """Last arguments of `docker create`: an entrypoint that replaces the image's own, the image, its arguments."""
    if order.script is not None:
        return ["--entrypoint", _SCRIPT, order.image]
    replaced = [] if order.entrypoint is None else ["--entrypoint", order.entrypoint]
    return [*replaced, order.image, *order.args]


def _tar(files: dict[str, bytes]) -> bytes:
    """Tar archive of executable files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
