"""The documents of builder and VM: each reads back as it was written, and nothing but the agreed form is read."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.kit.build import OWN
from builder.vm import bootstrap, protocol
from builder.vm.codec import ProtocolError
from builder.vm.protocol import (
    CaBundle,
    Evidence,
    ExpectedGpus,
    Heartbeat,
    Job,
    JobMetadata,
    KitRequest,
    LeaseTerms,
    RequirementLine,
    RequirementsStep,
    SetupStep,
    StagedObject,
    StagedWorkspace,
    decode_heartbeat,
)
from tests.unit.good_attempt import evidence_json, input_json, read

ROOT = Path(__file__).resolve().parents[2]
HEARTBEAT = Heartbeat(nonce_sha256="0", attempt=1, counter=3, phase="notebook", cell=1, cells=2, log_chunks=0)
JOB = Job(
    run="run-1",
    job="demo",
    notebook="books/demo.ipynb",
    name="demo",
    workspace=StagedWorkspace("w.tar.gz", "0", 7),
    parameters=StagedObject("p.json", "1"),
    notebook_sha256="2",
    kernel="python3",
    timeout=60,
    cell_timeout=1.5,
    accelerator=ExpectedGpus("nvidia-tesla-t4", 1),
    heartbeat_seconds=2,
    env={"STAGE": "tëst"},
    setup=SetupStep("setup.sh", 5),
    requirements=RequirementsStep(
        path="r.txt",
        timeout=7,
        index_url=None,
        require_hashes=True,
        lines=(RequirementLine("a", "r.txt", 1, "a>=1"),),
        frozen=("a==1",),
    ),
    ca_bundle=CaBundle("proxy.pem"),
    secrets={"TOKEN": "projects/p/secrets/s/versions/1"},
)
METADATA = JobMetadata(
    storage_endpoint="https://storage.googleapis.com",
    compute_endpoint="https://compute.googleapis.com",
    secretmanager_endpoint="https://secretmanager.googleapis.com",
    bucket="b",
    kits={"uv": StagedObject("kits/uv.tar.gz", "0")},
    job=StagedObject("job.json", "0"),
    attempt_prefix="attempt-1/",
    run="run-1",
    job_id="demo",
    attempt=1,
    nonce="n",
    boot_timeout=60,
    run_limit=100,
    max_run_duration=3600,
    lease=LeaseTerms("lease.json", 300),
)
EVIDENCE = Evidence.decode(json.dumps(evidence_json(read(input_json()), 700)).encode())
REQUEST = KitRequest(nonce_sha256="0", attempt=1, kit="cp311")
DOCUMENTS = {type(each).__name__: each for each in (HEARTBEAT, JOB, METADATA, EVIDENCE, REQUEST)}
DECODERS: dict[str, Callable[[bytes], object]] = {
    "Heartbeat": decode_heartbeat,
    "Job": Job.decode,
    "JobMetadata": JobMetadata.decode,
    "Evidence": Evidence.decode,
    "KitRequest": decode_heartbeat,
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_document_reads_back_as_it_was_written(name: str) -> None:
    assert DECODERS[name](DOCUMENTS[name].encode()) == DOCUMENTS[name]


@pytest.mark.parametrize("schema", [2, 0, True, "1", None, 1.0])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_another_schema_is_refused_with_a_sentence(name: str, schema: object) -> None:
    raw = json.dumps({**DOCUMENTS[name].document(), "schema": schema}).encode()
    with pytest.raises(ProtocolError, match=r"^[a-z-]+(\.json)?: its schema is .*, and 1 was expected$"):
        DECODERS[name](raw)


@pytest.mark.parametrize(
    ("change", "address"),
    [
        pytest.param({"timeout": "60"}, "timeout", id="seconds as text"),
        pytest.param({"env": {"A": 1}}, r"env\['A'\]", id="a variable that is no text"),
        pytest.param({"env": []}, "env", id="variables as a list"),
        pytest.param({"setup": {"path": "s.sh"}}, r"setup\.timeout", id="a step without its limit"),
        pytest.param({"requirements": {**JOB.document()["requirements"], "require_hashes": 1}}, "hashes", id="no boolean"),
        pytest.param({"requirements": {**JOB.document()["requirements"], "lines": [3]}}, r"lines\[0\]", id="no line"),
        pytest.param({"workspace": None}, "workspace", id="no workspace"),
    ],
)  # fmt: skip
def test_a_field_of_a_job_that_has_another_form_is_named(change: dict[str, Any], address: str) -> None:
    with pytest.raises(ProtocolError, match=rf"^job\.json: .*{address}: expected "):
        Job.decode(json.dumps({**JOB.document(), **change}).encode())


def test_numbers_stay_as_they_are() -> None:
    """Whole seconds are no fractions in JSON, and 64-bit numbers are texts."""
    assert JOB.document()["timeout"] == 60
    assert isinstance(JOB.document()["timeout"], int)
    assert EVIDENCE.document()["inputs"]["job"]["generation"] == "11"


def test_an_error_shows_nothing_that_a_terminal_could_trip_over() -> None:
    document = {**EVIDENCE.document(), "timings": {"\x1b[31m": "\x1b[31m"}}
    with pytest.raises(ProtocolError) as caught:
        Evidence.decode(json.dumps(document).encode())
    assert str(caught.value).isprintable()


def test_the_bootstrap_which_travels_alone_has_the_same_constants() -> None:
    assert bootstrap.ABANDONED == protocol.ABANDONED


def test_modules_of_the_kit_import_nothing_else_of_the_builder() -> None:
    files = [path for name in OWN for path in _modules(ROOT / "builder" / name)]
    travelling = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files}  # fmt: skip
    imported = {
        name
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported(node)
        if name.split(".")[0] == "builder"
    }
    assert {name for name in imported if name not in travelling} == set()
    shared = [ROOT / "builder" / name for name in ("strict_json.py", "vm/codec.py", "vm/protocol.py")]
    outside = {
        name.split(".")[0]
        for path in shared
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported(node)
    } - {"builder"}
    assert outside <= sys.stdlib_module_names


def _modules(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _imported(node: ast.AST) -> list[str]:
    """The modules that a statement imports; `from builder.vm import codec` counts as builder.vm.codec."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        found = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if (ROOT / (name.replace(".", "/") + ".py")).exists() else str(node.module) for name in found]  # fmt: skip
    return []
