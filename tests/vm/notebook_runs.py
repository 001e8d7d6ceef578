"""Many notebooks on real kernels of a bare machine, run once for all test processes, and judged as the builder does."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import pytest

from builder.judge.verdict import judge
from builder.model import Notebook, Verdict
from builder.plan.notebooks import read_notebook
from builder.vm.notebook_shape import normalize
from builder.vm.protocol import Evidence
from localcloud.engines.vm import images
from tests.patience import PATIENCE
from tests.unit.good_attempt import evidence_json, expected_of, listing_of

from .vm_fixture import VmFixture, notebook

DRIVER = Path(__file__).with_name("kernel_driver.py")


@dataclass(frozen=True)
class Book:
    """A notebook of code cells, as `vm_fixture.notebook` takes them, and how it runs."""

    cells: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cell_timeout: float | None = None
    out_of_memory: bool = False  # what the machine's Linux kernel says afterwards
    raw: Mapping[str, Any] | None = None  # the notebook's JSON, instead of `cells`

    @property
    def content(self) -> bytes:
        return json.dumps(self.raw or notebook(*self.cells)).encode()


@dataclass(frozen=True)
class Ran:
    """What a run left."""

    book: Book
    folder: Path

    @cached_property
    def end(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(Path(self.folder, "end.json").read_text())
        return value

    @property
    def log(self) -> str:
        return str(self.end["log"])

    @property
    def executed(self) -> Any:
        return nbformat.reads(Path(self.folder, "output.ipynb").read_text(), as_version=4)

    def text(self, cell: int) -> str:
        """All stream text of the cell at this index of the executed notebook."""
        return "".join(out.get("text", "") for out in self.executed.cells[cell].outputs)

    def verdict(self, **options: Any) -> Verdict:
        """The builder's verdict, all else being well."""
        source = read_notebook("demo.ipynb", self.book.content)
        assert isinstance(source, Notebook), source
        executed = Path(self.folder, "output.ipynb").read_bytes()
        facts = evidence_json(source, len(executed))
        facts["papermill"]["exit_code"] = self.end["exit_code"]
        facts["fault"] = self.end["fault"]
        facts["notices"] = self.end["notices"]
        wanted = expected_of(source, dict(self.book.parameters), **{"expect": (), **options})
        return judge(wanted, Evidence.decode(json.dumps(facts).encode()), executed, listing_of(facts))


def run_once(
    factory: pytest.TempPathFactory,
    vm_fixture: VmFixture,
    name: str,
    books: Mapping[str, Book],
    image: str = "bare",
) -> dict[str, Ran]:
    """Run these notebooks in the first test process that asks; the others wait for it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"notebooks-{name}"
    folder.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not Path(folder, "done").exists():
            for key, book in books.items():
                Path(folder, key).mkdir()
                content = json.loads(book.content)
                normalize(content)
                Path(folder, key, "input.ipynb").write_text(json.dumps(content))
                request = {
                    name: getattr(book, name) for name in ("parameters", "cell_timeout", "out_of_memory")
                }
                Path(folder, key, "request.json").write_text(json.dumps(request))
            python = images.prefix(image) / "bin" / "python3"
            done = subprocess.run(
                [python, "-I", "-S", DRIVER, vm_fixture.folder / "kit", folder],
                env={"PATH": f"{python.parent}:/usr/bin:/bin", "TMPDIR": str(factory.mktemp("tmp"))},
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
            assert done.returncode == 0, done.stderr.decode()
            Path(folder, "done").touch()
    return {key: Ran(book, folder / key) for key, book in books.items()}
