"""The second step of the run: install what the job asks for, choose the kernel, and describe the work to papermill."""

from __future__ import annotations

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from builder.vm.protocol import Job, KernelChoice, RequirementsStep

from . import (
    certificates,
    gpu,
    image_packages,
    kernel_launcher,
    kernel_packages,
    kernels,
    requirements,
    setup_script,
    workspace,
)
from .attempt import Attempt
from .fault import Fault
from .image_packages import Package
from .inputs import LoadedNotebook
from .papermill_request import PapermillRequest, injected
from .storage import Bucket, StorageError, access_token


class Environment:
    """The kernel's environment.

    It begins to read the image's packages, and to fetch uv, while the workspace arrives.
    """

    def __init__(self, attempt: Attempt, job: Job) -> None:
        self._attempt = attempt
        self._settings = attempt.settings
        self._job = job
        self._background = ThreadPoolExecutor(2)
        # A set-up script may install something, so the packages are read after it.
        self._image = None if job.setup else self._read_image()
        self._uv = self._background.submit(self._fetch_uv) if job.requirements else None

    def install(self, loaded: LoadedNotebook) -> None:
        """Run the set-up script, then install the requirements; record the packages. Raises `Fault`."""
        job, facts = self._job, self._attempt.facts
        trusted = certificates.trusted(
            job.ca_bundle, tree=self._attempt.tree, home=self._settings.home, fetch=self._fetch_object
        )
        if job.setup:
            self._attempt.begin("setup")
            setup_script.run(
                job.setup,
                tree=self._attempt.tree,
                cwd=loaded.folder,
                environment={**os.environ, **trusted, **job.env, "NB_OUTPUT_DIR": str(loaded.outputs)},
                log=self._attempt.log,
                stopping=self._attempt.stop_cause,
            )
        if job.requirements:
            self._attempt.begin("requirements")
        # Awaited even without requirements: the notebook's end ends every process of ours.
        facts.image = (self._image or self._read_image()).result()
        if job.requirements:
            facts.overlay = self._install(job.requirements, facts.image, trusted)

    def _install(
        self, wanted: RequirementsStep, image: tuple[Package, ...] | None, trusted: dict[str, str]
    ) -> tuple[Package, ...]:
        """Install the requirements; return the packages that were added."""
        if image is None or self._uv is None:
            raise Fault("runner", "the image's Python cannot list its packages")
        added = requirements.install(
            wanted,
            image,
            uv=self._uv.result(),
            home=self._settings.home,
            tree=self._attempt.tree,
            token=access_token,
            certificates=trusted,
            log=self._attempt.log,
            stopping=self._attempt.stop_cause,
        )
        self._attempt.log.line(
            f"installed {len(added)} package{'s' if len(added) != 1 else ''}: {', '.join(map(str, added))}"
            if added
            else "nothing to add"
        )
        return added

    def papermill_request(self, loaded: LoadedNotebook) -> PapermillRequest:
        """Set up kernel and folders, wait for the GPUs, and return the work for papermill. Raises `Fault`."""
        job, home = self._job, self._settings.home
        if job.accelerator:
            # The time that the job's own steps took is not taken from the driver's.
            steps = sum(self._attempt.facts.timings.get(phase, 0) for phase in ("setup", "requirements"))
            gpu.wait_for_gpu(job.accelerator, self._settings.boot_deadline + steps, self._attempt.log.line)
        kernel = self._choose_kernel(loaded)
        folder = home / "papermill"
        folder.mkdir()
        (folder / "input.ipynb").write_text(json.dumps(loaded.content), encoding="utf-8")
        ours = {"NB_OUTPUT_DIR": str(loaded.outputs), "JUPYTER_PATH": str(home / "jupyter")}
        return PapermillRequest(
            folder=folder,
            cwd=loaded.folder,
            notebook=job.notebook,
            name=job.name,
            kernel=kernel.name,
            language=kernel.language,
            parameters=loaded.parameters,
            injected=injected(loaded.content, loaded.parameters),
            environment={**job.env, **ours},
            timeout=job.timeout,
            cell_timeout=job.cell_timeout,
        )

    def _choose_kernel(self, loaded: LoadedNotebook) -> kernels.Kernel:
        job, facts, log = self._job, self._attempt.facts, self._attempt.log
        facts.kernel = KernelChoice(job.kernel, None)
        kernel = kernels.choose(job.kernel, loaded.content, kernels.data_folders())
        facts.kernel = KernelChoice(job.kernel, kernel.name)
        if kernel.remark:
            log.line(kernel.remark)
        if kernel.name == kernels.PYTHON:
            self._write_python_kernel()
        elif job.requirements:
            log.line(f"kernel {kernel.name!r} is the image's own and does not see the requirements")
        return kernel

    def _write_python_kernel(self) -> None:
        """Write the kernelspec for the image's Python; log which packages of the kit come before the image's."""
        facts, here = self._attempt.facts, Path(__file__).resolve()
        kit = kernel_packages.read(kernel_launcher.KIT / kernel_launcher.INDEX)
        first = kernel_packages.replaced(kit, facts.image or (), facts.overlay)
        for line in first.values():
            self._attempt.log.line(line)
        launcher = here.with_name("kernel_launcher.py")
        kernels.write_python_kernel(self._settings.home / "jupyter", launcher, list(first))

    def _read_image(self) -> Future[tuple[Package, ...] | None]:
        return self._background.submit(image_packages.read, self._settings.home)

    def _fetch_uv(self) -> Path:
        """Fetch uv, which only jobs with requirements need; return the program."""
        home, uv = self._settings.home, self._settings.metadata.kits["uv"]
        archive = home / "uv.tar.gz"
        self._attempt.bucket.fetch(uv.object, uv.sha256, self._settings.boot_deadline, archive)
        workspace.unpack(archive, home / "uv")
        archive.unlink()
        return home / "uv" / "uv"

    def _fetch_object(self, bucket: str, name: str) -> bytes:
        """Return an object of any bucket, read as the VM's account. Raises OSError."""
        try:
            return Bucket(self._settings.metadata.storage_endpoint, bucket).read(name)
        except StorageError as error:
            raise OSError(str(error)) from error
