"""The runner's course: boot, workspace, environment, notebook, upload, done. Reports facts; judges nothing."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from . import (
    gpu,
    image_packages,
    kernels,
    outputs,
    processes,
    redacted_files,
    requirements,
    secret_manager,
    setup_script,
    spot,
    workspace,
)
from .conversion import Conversion, ConversionError
from .heartbeat import Heartbeat
from .lease import Lease
from .log import Log, LogFacts
from .notebook import Ended, Order, Papermill, Stop, replaces_injected
from .redaction import Redactor
from .settings import Fault, Job, Requirements, Settings
from .storage import Bucket, Fetched, StorageError, Stored, access_token

HEARTBEAT_PATIENCE = 5.0
UPLOADS_AT_ONCE = 8
ABANDONED = 75  # the exit status that tells the bootstrap that nobody will come and delete this VM
TYPES = {
    ".ipynb": "application/x-ipynb+json",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}


def say(text: str) -> None:
    """Print a line; the bootstrap passes it on to the serial port."""
    with suppress(OSError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


@dataclass
class Facts:
    """What the evidence will hold, as it becomes known."""

    inputs: dict[str, Any] = field(default_factory=dict)
    job: Job | None = None
    ended: Ended | None = None
    fault: Fault | None = None
    packages: dict[str, list[str]] | None = None
    kernel: dict[str, str | None] = field(default_factory=lambda: {"requested": None, "used": None})
    executed_notebook: str | None = None
    stored: list[Stored] = field(default_factory=list)
    skipped: list[outputs.Skipped] = field(default_factory=list)
    secrets: list[secret_manager.Secret] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)


class Runner:
    """One job on this VM."""

    def __init__(self, settings: Settings, papermill: Papermill) -> None:
        self.settings = settings
        self.bucket = Bucket(settings.storage_endpoint, settings.bucket)
        self.facts = Facts()
        self.stopping = threading.Event()
        self.redactor = Redactor({})
        self.log = Log(self._upload_chunk)
        identity = {"nonce": settings.nonce, "attempt": settings.attempt}
        self.heartbeat = Heartbeat(self._upload_heartbeat, identity)
        self.heartbeat.complain = self.say
        self.heartbeat.log_chunks = lambda: self.log.chunks
        terms = settings.lease
        self.lease = Lease(lambda: self.bucket.generation(terms.object), terms.seconds)
        self._phase_began = settings.started
        self._aside = ThreadPoolExecutor(2)
        self._image: Future[tuple[image_packages.Package, ...] | None] | None = None
        self._uv: Future[Path] | None = None
        self._papermill = papermill
        self._conversion = Conversion()
        self.tree = settings.home / "work"
        self.results = settings.home / "results"

    # -- the course -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Carry the job out and store the evidence. Raises `StorageError` when that cannot be stored."""
        self.heartbeat.start()
        self.lease.start()
        self.log.start()
        try:
            self._execute()
        except Fault as fault:
            self.facts.fault = fault
        except StorageError as error:
            self.facts.fault = Fault("forbidden" if error.forbidden else "storage", str(error))
        except OSError as error:
            self.facts.fault = _os_fault(error)
        except Exception as error:  # noqa: BLE001 - a bug of ours is reported like any other fault
            self._bug(error)
        if self.stopping.is_set() and spot.taken_back():
            self.facts.fault = Fault("preempted", "Compute Engine took the Spot VM back")
        self._papermill.abandon()
        if self.facts.fault:
            self.log.note(f"{self.facts.fault.reason}: {self.facts.fault.message}")
            self.say(f"fault: {self.facts.fault.reason}: {self.facts.fault.message}")
        try:
            self._upload()
        except (StorageError, OSError) as error:
            self.facts.fault = self.facts.fault or Fault("storage", str(error))
        except Exception as error:  # noqa: BLE001
            self._bug(error)
        self._conversion.abandon()
        self._finish()

    def _execute(self) -> None:
        job_object = self.settings.job
        fetched = self.bucket.fetch(job_object.name, job_object.sha256, self.settings.boot_deadline)
        self._input("job", fetched)
        job = self.facts.job = Job.parse(fetched.content)
        self.heartbeat.seconds = job.heartbeat_seconds
        if not job.setup:  # which may install something
            self._image = self._aside.submit(image_packages.read, self.settings.home)
        if job.requirements:
            self._uv = self._aside.submit(self._fetch_uv)
        self._phase("workspace")
        parameters = self._fetch_inputs(job)
        path, notebook = workspace.open_notebook(self.tree, job)
        self.facts.inputs["notebook"] = {"sha256": job.notebook_sha256}
        staged = workspace.files(self.tree) if job.secrets else []
        output_folder = workspace.empty_outputs(path.parent)
        self._make_ready(job, path.parent, output_folder)
        self._phase("environment")
        order = self._prepare(job, path, notebook, parameters, output_folder)
        if job.secrets:
            self._phase("secrets")
            order = replace(order, secrets=self._read_secrets(job, staged, parameters))
        self._phase("notebook")
        self.facts.ended = self._papermill.run(
            order, self.log, self._progress, self._stop_cause, lambda: self._conversion.pids
        )
        self.facts.fault = self.facts.ended.fault

    def _read_secrets(self, job: Job, staged: list[Path], parameters: dict[str, Any]) -> dict[str, str]:
        """Return the kernel's secret variables; from here on nothing lets their values through. Raises `Fault`."""
        endpoint = self.settings.secretmanager_endpoint
        self.facts.secrets = secret_manager.resolve(endpoint, job.secrets)
        secret_manager.check(self.facts.secrets)
        values = {secret.name: secret.value for secret in self.facts.secrets}
        self.redactor = Redactor(values)
        self.log.protect(self.redactor)
        place, secret = redacted_files.find_staged(self.tree, staged, self.redactor)
        if found := self.redactor.find(json.dumps(parameters).encode()):
            place, secret = "the notebook's parameters", found
        if secret:
            message = (
                f"the value of secret {secret} stands in {place}, which is no place for a secret any more"
            )
            raise Fault("secret_in_source", message)
        shown = ", ".join(f"{s.name} (version {s.version} of {s.resource})" for s in self.facts.secrets)
        self.log.note(f"secrets for the kernel: {shown}")
        return values

    def _fetch_inputs(self, job: Job) -> dict[str, Any]:
        """Fetch workspace and parameters side by side and unpack; return the parameters."""
        deadline = self.settings.boot_deadline
        archive = self.settings.home / "workspace.tar.gz"
        with ThreadPoolExecutor(1) as pool:
            wanted = job.parameters
            parameters = (
                pool.submit(self.bucket.fetch, wanted.name, wanted.sha256, deadline) if wanted else None
            )
            self._input(
                "workspace", self.bucket.fetch(job.workspace.name, job.workspace.sha256, deadline, archive)
            )
            workspace.unpack(archive, self.tree)
            archive.unlink()
            if parameters is None:
                return {}
            self._input("parameters", parameters.result())
            value = json.loads(parameters.result().content)
        return value if isinstance(value, dict) else {}

    def _make_ready(self, job: Job, folder: Path, output_folder: Path) -> None:
        """Run the notebook's own steps: set-up, then requirements; learn what is installed. Raises `Fault`."""
        if job.setup:
            self._phase("setup")
            environment = {**os.environ, **job.env, "NB_OUTPUT_DIR": str(output_folder)}
            setup_script.run(
                job.setup,
                tree=self.tree,
                cwd=folder,
                environment=environment,
                log=self.log,
                stopping=self._stop_cause,
            )
        if job.requirements:
            self._phase("requirements")
        reading = self._image or self._aside.submit(image_packages.read, self.settings.home)
        # Waited for in any case: the notebook's end ends every process of ours.
        image = reading.result()
        if image is not None:
            self.facts.packages = {"image": [str(package) for package in image], "overlay": []}
        if job.requirements:
            if image is None or self.facts.packages is None:
                raise Fault("runner", "the image's Python cannot list its packages")
            self.facts.packages["overlay"] = self._install(job.requirements, image)

    def _fetch_uv(self) -> Path:
        """Fetch uv, which only jobs with requirements need; return the program."""
        archive, uv = self.settings.home / "uv.tar.gz", self.settings.uv
        self.bucket.fetch(uv.name, uv.sha256, self.settings.boot_deadline, archive)
        workspace.unpack(archive, self.settings.home / "uv")
        archive.unlink()
        return self.settings.home / "uv" / "uv"

    def _install(self, wanted: Requirements, image: tuple[image_packages.Package, ...]) -> list[str]:
        """Install the requirements; return what was added."""
        added = requirements.install(
            wanted,
            image,
            uv=(self._uv or self._aside.submit(self._fetch_uv)).result(),
            home=self.settings.home,
            tree=self.tree,
            token=access_token,
            log=self.log,
            stopping=self._stop_cause,
        )
        self.log.note(
            f"installed {len(added)} package{'s' if len(added) != 1 else ''}: {', '.join(added)}"
            if added
            else "nothing to add"
        )
        return list(added)

    def _prepare(
        self, job: Job, path: Path, notebook: dict[str, Any], parameters: dict[str, Any], output_folder: Path
    ) -> Order:
        """Set up kernel and folders; check the GPU. Raises `Fault`."""
        home = self.settings.home
        if job.accelerator:
            # What the notebook's own steps took must not be taken from the driver's time.
            steps = sum(self.facts.timings.get(phase, 0) for phase in ("setup", "requirements"))
            gpu.wait_for_gpu(job.accelerator, self.settings.boot_deadline + steps, self.log.note)
        kernels.write_python_kernel(home / "jupyter", Path(__file__).with_name("kernel_launcher.py"))
        self.facts.kernel["requested"] = job.kernel
        kernel = kernels.choose(job.kernel, notebook, kernels.data_folders())
        self.facts.kernel["used"] = kernel.name
        if kernel.remark:
            self.log.note(kernel.remark)
        if job.requirements and kernel.name != kernels.PYTHON:
            self.log.note(f"kernel {kernel.name!r} is the image's own and does not see the requirements")
        folder = home / "papermill"
        folder.mkdir()
        shutil.copyfile(path, folder / "input.ipynb")
        ours = {"NB_OUTPUT_DIR": str(output_folder), "JUPYTER_PATH": str(home / "jupyter")}
        environment = {**job.env, **ours}
        return Order(
            folder=folder,
            cwd=path.parent,
            notebook=job.notebook,
            name=job.name,
            kernel=kernel.name,
            language=kernel.language,
            parameters=parameters,
            replaces_injected=replaces_injected(notebook),
            environment=environment,
            timeout=job.timeout,
            cell_timeout=job.cell_timeout,
        )

    # -- results ----------------------------------------------------------------------------------------------

    def _upload(self) -> None:
        """Store the executed notebook, its pages, and outputs/. After SIGTERM only the notebook: time is short."""
        self._phase("upload")
        self.heartbeat.hold_back()
        job, executed = self.facts.job, self.settings.home / "papermill" / "output.ipynb"
        if not job:
            return
        if executed.is_file():
            if self.redactor:
                self.results.mkdir(exist_ok=True)
                executed = redacted_files.notebook(executed, self.results / "executed.ipynb", self.redactor)
            converting = not self.stopping.is_set() and self._begin_html(executed, job)
            self._store(f"{job.name}.ipynb", executed)
            self.facts.executed_notebook = f"{job.name}.ipynb"
            if converting:
                self._store_html(job)
        folder = self.tree / Path(job.notebook).parent / "outputs"
        if not self.stopping.is_set():
            found, self.facts.skipped = outputs.scan(folder)
            if self.redactor:
                found = self._without_secrets(found)
            for item in self.facts.skipped[:10]:
                self.log.note(f"not uploaded: {item.path}: {item.why}")
            with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
                for stored in pool.map(lambda output: self._create(output.name, output.path), found):
                    self.facts.stored.append(stored)
        if self.stopping.is_set() and not self.facts.fault:
            # papermill may have ended well before; without its outputs that is no result.
            self.facts.fault = Fault("runner", "the VM was told to stop before its results were stored")

    def _without_secrets(self, found: list[outputs.Output]) -> list[outputs.Output]:
        """Return what may be uploaded. What may not makes a run red that was good so far."""
        kept, withheld = redacted_files.outputs_to_upload(found, self.results, self.redactor)
        self.facts.skipped = withheld + [
            outputs.Skipped(self.redactor.text(item.path), item.why) for item in self.facts.skipped
        ]
        ended = self.facts.ended
        if withheld and not self.facts.fault and ended and not ended.exit_code:
            message = f"{withheld[0].path} was not uploaded: {withheld[0].why}"
            self.facts.fault = Fault("secret_in_output", message)
        return kept

    def _begin_html(self, executed: Path, job: Job) -> bool:
        """Order the pages; say whether they are on their way."""
        try:
            self.results.mkdir(exist_ok=True)
            folder = self.tree / Path(job.notebook).parent
            self._conversion.begin(executed, job.name, folder, self.results)
        except (OSError, ConversionError) as error:
            self.log.note(f"no HTML pages: {error}")
            return False
        return True

    def _store_html(self, job: Job) -> None:
        try:
            self._conversion.finish()
        except ConversionError as error:
            self.log.note(f"no HTML pages: {error}")
            return
        for name in (f"{job.name}.html", f"{job.name}-clean.html"):
            if self.redactor:
                redacted_files.page(self.results / name, self.redactor)
            self._store(name, self.results / name)

    def _store(self, name: str, path: Path) -> None:
        self.facts.stored.append(self._create(name, path))

    def _create(self, name: str, source: Path) -> Stored:
        content_type = TYPES.get(Path(name).suffix.lower(), "application/octet-stream")
        stored = self.bucket.create(self.settings.attempt_prefix + name, source, content_type)
        return Stored(name, stored.size, stored.crc32c, stored.generation)

    def _finish(self) -> None:
        """Store the end of the log, the last heartbeat, and the evidence, in this order."""
        self._phase("done")
        # Both keep a distance between writes; waiting for one covers the other.
        self.heartbeat.stop()
        log = self.log.finish()
        self.heartbeat.finish()
        evidence = json.dumps(self.redactor.json(self._evidence(log))).encode()
        self.bucket.create(self.settings.attempt_prefix + "evidence.json", evidence, "application/json")

    def _evidence(self, log: LogFacts) -> dict[str, Any]:
        facts, settings, fault = self.facts, self.settings, self.facts.fault
        return {
            "schema": 1,
            "run": settings.run,
            "job": settings.job_id,
            "attempt": settings.attempt,
            "nonce": settings.nonce,
            "inputs": facts.inputs,
            "papermill": facts.ended
            and {"exit_code": facts.ended.exit_code, "seconds": round(facts.ended.seconds, 3)},
            "fault": fault and {"reason": fault.reason, "message": fault.message, "cell": fault.cell},
            "python": platform.python_version(),
            "packages": facts.packages,
            "kernel": facts.kernel,
            "executed_notebook": facts.executed_notebook,
            "objects": [asdict(stored) for stored in facts.stored],
            "skipped": [asdict(skipped) for skipped in facts.skipped],
            "secrets": [self._secret_facts(secret) for secret in facts.secrets],
            "timings": facts.timings,
            "peak_memory_bytes": processes.peak_memory_bytes(),
            "disk_free_bytes": shutil.disk_usage(settings.home).free,
            "log": asdict(log),
        }

    def _secret_facts(self, secret: secret_manager.Secret) -> dict[str, Any]:
        return {
            "name": secret.name,
            "resource": secret.resource,
            "version": secret.version,
            "problem": secret.problem,
            "redactions": self.redactor.counts[secret.name],
        }

    def _stop_cause(self) -> Stop:
        if self.stopping.is_set():
            return "stopped"
        return "abandoned" if self.lease.lost else ""

    # -- small things -----------------------------------------------------------------------------------------

    def _input(self, name: str, fetched: Fetched) -> None:
        self.facts.inputs[name] = {"sha256": fetched.sha256, "generation": fetched.generation}

    def _phase(self, name: str) -> None:
        now = time.monotonic()
        self.facts.timings[self.heartbeat.phase] = round(now - self._phase_began, 3)
        self._phase_began = now
        self.heartbeat.phase = name

    def _progress(self, cell: int, cells: int) -> None:
        if cell > self.heartbeat.cell == 0:
            self._conversion.warm_up()  # not before: the kernel's start needs the processor
        self.heartbeat.cell, self.heartbeat.cells = cell, cells

    def say(self, text: str) -> None:
        """Print a line for the serial port, without secrets."""
        say(self.redactor.text(text)[:400])

    def _bug(self, error: Exception) -> None:
        for line in "".join(traceback.format_exception(error)).splitlines():
            self.log.note(f"bug: {line}")
        self.facts.fault = self.facts.fault or Fault("runner", f"{type(error).__name__}: {error}")

    def _upload_chunk(self, number: int, content: bytes) -> None:
        name = f"{self.settings.attempt_prefix}log/{number:06}.txt"
        self.bucket.create(name, content, "text/plain; charset=utf-8")

    def _upload_heartbeat(self, content: bytes) -> None:
        name = f"{self.settings.attempt_prefix}heartbeat.json"
        self.bucket.overwrite(name, content, HEARTBEAT_PATIENCE)


def _os_fault(error: OSError) -> Fault:
    reason = "disk_full" if error.errno == errno.ENOSPC else "runner"
    return Fault(reason, f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))


def main(arguments: list[str], papermill: Papermill) -> int:
    """Run the job described by the settings file; 0 and ABANDONED say that the evidence is stored, whatever it holds."""
    os.umask(0o022)
    runner = Runner(Settings.load(Path(arguments[0])), papermill)
    signal.signal(signal.SIGTERM, lambda *_: runner.stopping.set())
    try:
        runner.run()
    except StorageError as error:
        runner.say(f"failed: storage: {error}")
        return 1
    return ABANDONED if runner.lease.lost else 0
