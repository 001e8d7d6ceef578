"""A VM without Compute: the real startup script on a machine image, against localcloud's bucket and metadata server."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from google.cloud.storage import Client
from google.oauth2.credentials import Credentials

from builder.kit import Archive, Kit
from builder.kit.build import own_cpython
from builder.vm import startup_script
from builder.vm.bootstrap import unpack_kit
from localcloud.cloud import Cloud
from localcloud.core.metadata import Identity, MetadataServer
from localcloud.engines.vm import images
from tests.granting import granting
from tests.patience import PATIENCE, SOON

BUCKET = "nb-test"
VM = "notebook-vm@local-project.iam.gserviceaccount.com"
NONCE = "n0nce"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


def notebook(*cells: str, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A notebook of code cells; a cell that begins with `#md ` is Markdown, `#tags a,b` gives it tags.

    The same cells give the same notebook in each process: one process runs it, and others judge the run.
    """
    made = []
    for number, text in enumerate(cells, start=1):
        first, _, rest = text.partition("\n")
        name = f"cell-{number}"
        if text.startswith("#md "):
            made.append(nbformat.v4.new_markdown_cell(text[4:], id=name))
        elif text.startswith("#tags "):
            made.append(nbformat.v4.new_code_cell(rest, id=name, metadata={"tags": first[6:].split(",")}))
        else:
            made.append(nbformat.v4.new_code_cell(text, id=name))
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return dict(nbformat.v4.new_notebook(cells=made, metadata=spec if metadata is None else dict(metadata)))


@dataclass
class Task:
    """The VM's task in a test."""

    cells: tuple[str, ...] = ()
    book: dict[str, Any] | None = None
    path: str = "books/demo.ipynb"
    files: Mapping[str, bytes] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    prefix: Path | None = None
    programs: Mapping[str, str] = field(default_factory=dict)
    wrap: Callable[[list[str]], list[str]] = list
    before: Callable[[], None] = lambda: None
    preempted: Callable[[], bool] = lambda: False
    own_kit: bool = (
        False  # the VM fetches and unpacks the whole kit, as on Google Cloud, a third of its processor time
    )


@dataclass
class Outcome:
    """The results of the VM."""

    folder: Path
    serial: str
    objects: dict[str, bytes]
    seconds: float

    @property
    def evidence(self) -> dict[str, Any]:
        assert "evidence.json" in self.objects, self.serial
        value: dict[str, Any] = json.loads(self.objects["evidence.json"])
        return value

    @property
    def log(self) -> str:
        return b"".join(self.objects[n] for n in sorted(self.objects) if n.startswith("log/")).decode()

    @property
    def executed(self) -> Any:
        return nbformat.reads(self.objects[self.evidence["executed_notebook"]].decode(), as_version=4)

    def text(self, cell: int) -> str:
        """All stream text of the cell at this index of the executed notebook."""
        return "".join(out.get("text", "") for out in self.executed.cells[cell].outputs)

    @property
    def reason(self) -> str | None:
        fault = self.evidence["fault"]
        return fault and str(fault["reason"])


class VmFixture:
    """A local cloud with the kit in its bucket, on which VMs run one after another."""

    def __init__(self, folder: Path, kit: Kit) -> None:
        self.folder = folder
        self.kit = kit
        self.cloud = Cloud(folder / "cloud", buckets=[BUCKET], profile=granting())
        self.cloud.start()
        client = Client(
            project="local-project",
            credentials=Credentials(token=self.cloud.iam.owner_token),
            client_options={"api_endpoint": self.cloud.url},
        )
        self.client = client
        self.bucket = client.bucket(BUCKET)
        for archive in kit.archives.values():
            self.put(f"ci/kits/{archive.sha256}.tar.gz", archive.path.read_bytes())
        self._shared_kit = self._share(kit.archives[own_cpython()])
        self._count = 0
        self._boots = 0

    def _share(self, kit: Archive) -> dict[str, str]:
        """Unpack the kit once for all VMs; stage in its place an archive whose runner is that one."""
        unpack_kit(kit.path, self.folder / "kit")
        runner = self.folder / "kit" / "builder" / "vm" / "runner" / "__main__.py"
        small = packed(
            {
                "builder/vm/runner/__main__.py": f"import runpy\nrunpy.run_path({str(runner)!r}, run_name='__main__')\n".encode()
            }
        )
        self.put("ci/kits/shared.tar.gz", small)
        return {"object": "ci/kits/shared.tar.gz", "sha256": sha(small)}

    def close(self) -> None:
        self.client.close()
        self.cloud.close()

    def put(self, name: str, content: bytes) -> None:
        self.bucket.blob(name).upload_from_string(content, content_type="application/octet-stream")

    def stage(self, task: Task) -> dict[str, Any]:
        """Upload what the builder would, and return the nb-job value."""
        self._count += 1
        folder = f"ci/staging/run-{self._count}/demo"
        book = json.dumps(task.book or notebook(*task.cells)).encode()
        workspace = packed({**task.files, task.path: book})
        parameters = json.dumps(dict(task.parameters)).encode()
        job = {
            "schema": 1,
            "run": f"run-{self._count}",
            "job": "demo",
            "notebook": task.path,
            "name": Path(task.path).stem,
            "workspace": {
                "object": f"{folder}/workspace.tar.gz",
                "sha256": sha(workspace),
                "size": len(workspace),
            },
            "parameters": {"object": f"{folder}/parameters.json", "sha256": sha(parameters)},
            "notebook_sha256": sha(book),
            "kernel": "python3",
            "timeout": 600,
            "cell_timeout": None,
            "accelerator": None,
            "heartbeat_seconds": 2,
            **task.job,
        }
        text = json.dumps(job).encode()
        self.put(f"{folder}/workspace.tar.gz", workspace)
        self.put(f"{folder}/parameters.json", parameters)
        self.put(f"{folder}/job.json", text)
        kits = {
            name: {"object": f"ci/kits/{archive.sha256}.tar.gz", "sha256": archive.sha256}
            for name, archive in self.kit.archives.items()
        }
        return {
            "schema": 1,
            "storage_endpoint": self.cloud.url,
            "compute_endpoint": self.cloud.url,
            "secretmanager_endpoint": self.cloud.url,
            "bucket": BUCKET,
            "kits": kits if task.own_kit else kits | {own_cpython(): dict(self._shared_kit)},
            "job": {"object": f"{folder}/job.json", "sha256": sha(text)},
            "attempt_prefix": f"{folder}/attempt-1-0123456789abcdef/",
            "run": job["run"],
            "job_id": "demo",
            "attempt": 1,
            "nonce": NONCE,
            "boot_timeout": 300,
            "run_limit": 1000,
            "max_run_duration": 3600,
            "lease": {"object": f"{folder}/lease.json", "seconds": 300},
            **task.settings,
        }

    def run(self, *cells: str, **options: Any) -> Outcome:
        """Run one notebook on a VM, from boot to the end of the VM's life."""
        task = Task(cells=cells, **options)
        settings = self.stage(task)
        return self.boot(settings, task)

    def boot(self, settings: dict[str, Any] | None, task: Task, script: str = "") -> Outcome:
        """Boot a VM with this metadata; `script` stands in for the startup script."""
        self._boots += 1
        folder = self.folder / f"vm {self._boots}"
        (folder / "tmp").mkdir(parents=True)
        programs = {"shutdown": '#!/bin/sh\necho shutdown called "$@"\n', **task.programs}
        for name, text in programs.items():
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(text)
            program.chmod(0o755)
        startup = folder / "startup"
        startup.write_text(
            (script or startup_script()).replace("GRACE_SECONDS = 300.0", "GRACE_SECONDS = 0.0")
        )
        attributes = {} if settings is None else {"nb-job": json.dumps(settings)}
        instance = {
            "name": "nb-vm",
            "id": "1",
            "zone": "us-central1-a",
            "machineType": "e2-standard-4",
            "hostname": "nb-vm",
        }

        def identity() -> Identity:
            now = {**instance, "preempted": "TRUE" if task.preempted() else "FALSE"}
            return Identity("local-project", VM, SCOPES, now, attributes)

        metadata = MetadataServer(identity, self.cloud.iam)
        metadata.start()
        task.before()
        begun = time.monotonic()
        try:
            done = subprocess.run(
                task.wrap(["/bin/bash", str(startup)]),
                env={
                    "PATH": f"{folder / 'bin'}:{(task.prefix or images.prefix(images.DEFAULT)) / 'bin'}:/usr/bin:/bin",
                    "TMPDIR": str(folder / "tmp"),
                    "GCE_METADATA_HOST": metadata.address,
                    "GCE_METADATA_IP": metadata.address,
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE,
                check=False,
            )
        finally:
            metadata.close()
        seconds = time.monotonic() - begun
        serial = done.stdout.decode("utf-8", "replace")
        return Outcome(folder, serial, self.objects(settings), seconds)

    def objects(self, settings: dict[str, Any] | None) -> dict[str, bytes]:
        if settings is None:
            return {}
        prefix = settings["attempt_prefix"]
        blobs = self.client.list_blobs(BUCKET, prefix=prefix)
        return {blob.name.removeprefix(prefix): blob.download_as_bytes() for blob in blobs}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def packed(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz of these files."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tree,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tree.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def processes_below(folder: Path) -> list[str]:
    """Command lines of processes that still have this folder as their TMPDIR, after those that just end."""
    deadline = time.monotonic() + SOON
    while (found := _running_below(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _running_below(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in environment and command:
                found.append(command.replace(b"\0", b" ").decode("utf-8", "replace"))
    return found
