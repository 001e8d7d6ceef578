"""The runner's parts by themselves: text, log, frames, kernels, outputs, faults, parameters."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any, Literal, cast

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from nbclient.exceptions import CellTimeoutError
from nbformat import v4
from papermill.iorw import NoDatesSafeLoader

from builder.vm.runner import app, frames, kernels, outputs, results
from builder.vm.runner.cell_progress import _outcome
from builder.vm.runner.fault import Fault, Stop
from builder.vm.runner.inputs import decode_job
from builder.vm.runner.log import TOTAL_BYTES, Log
from builder.vm.runner.papermill_end import Seen, fault_of
from builder.vm.runner.papermill_request import PapermillRequest
from builder.vm.runner.text import MAX_LINE, Lines, clean


@given(st.binary(), st.integers(min_value=1, max_value=9))
def test_lines_are_safe_and_do_not_depend_on_how_the_bytes_arrive(data: bytes, step: int) -> None:
    whole, pieces = Lines(), Lines()
    expected = whole.feed(data) + whole.end()
    found = [
        line for i in range(0, len(data), step) for line in pieces.feed(data[i : i + step])
    ] + pieces.end()
    assert found == expected
    assert all(
        character.isprintable() or character == " " or ord(character) > 159
        for line in found
        for character in line
    )


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        pytest.param("a\rb\rc", "c", id="carriage returns"),
        pytest.param("50 %\r100 %\r", "100 %", id="progress bar"),
        pytest.param("plain\r", "plain", id="carriage return at the end"),
        pytest.param("\x1b[1;31mred\x1b[0m", "red", id="colour"),
        pytest.param("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link", id="link"),
        pytest.param("tab\there", "tab    here", id="tab"),
        pytest.param("\x1bc\x9b2Jreset", "reset", id="reset"),
    ],
)
def test_clean(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_a_line_without_end_stays_small() -> None:
    lines = Lines()
    for _ in range(2000):
        assert lines.feed(b"x" * 10_000) == []
    assert sum(map(len, lines._pending)) < 200_000
    (line,) = lines.feed(b"\n")
    assert len(line) == MAX_LINE


def test_log_counts_what_it_drops_and_says_so() -> None:
    chunks: list[bytes] = []
    log = Log(lambda _number, content: chunks.append(content))
    log.line("begin")
    for _ in range(3000):
        log.output(b"y" * 999 + b"\n")
    while log._send():
        pass
    log.output(b"after\n")
    facts = log.finish()
    text = b"".join(chunks).decode()
    assert facts.dropped_bytes > 800_000
    assert "MB of output are not shown here" in text
    assert text.endswith("| after\n")
    assert facts.bytes == len(text.encode())
    assert all(len(chunk) <= 256 * 1024 for chunk in chunks)


def test_log_has_a_total() -> None:
    chunks: list[bytes] = []
    log = Log(lambda _number, content: chunks.append(content))
    for _ in range(250):
        log.output((b"z" * 1023 + b"\n") * 100)
        while log._send():
            pass
    log.line("still ours")
    facts = log.finish()
    assert TOTAL_BYTES <= facts.bytes < TOTAL_BYTES + 10_000
    assert chunks[-1].decode().split("\n")[-3:] == [
        "# still ours",
        f"# {_mb(facts.dropped_bytes)} of output are not shown here; the executed notebook has them",
        "",
    ]


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def test_a_failing_bucket_costs_the_log_only() -> None:
    def fail(_number: int, _content: bytes) -> None:
        raise OSError("no network")

    log = Log(fail)
    log.output(b"lost\n")
    assert log.finish().chunks == 0


@given(st.lists(st.one_of(st.text(), st.dictionaries(st.text(), st.integers()))), st.integers(1, 7))
def test_frames_come_out_as_they_went_in(items: list[str | dict[str, int]], step: int) -> None:
    read, write = os.pipe()
    for item in items:
        if isinstance(item, str):
            frames.send_output(write, item.encode("utf-8", "replace"))
        else:
            frames.send_event(write, event="x", value=item)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    reader = frames.Reader()
    found: list[Any] = [thing for i in range(0, len(data), step) for thing in reader.feed(data[i : i + step])]
    assert [f["value"] for f in found if isinstance(f, dict)] == [i for i in items if isinstance(i, dict)]
    text = b"".join(f for f in found if isinstance(f, bytes))
    assert text == "".join(i for i in items if isinstance(i, str)).encode("utf-8", "replace")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: (
        st.lists(children) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), children)
    ),
    max_leaves=10,
)


@given(json_values)
def test_parameters_survive_papermills_yaml(value: object) -> None:
    arrived = yaml.load(yaml.safe_dump({"p": value}), Loader=NoDatesSafeLoader)
    # As the judge compares them: with their types.
    assert json.dumps(arrived, sort_keys=True) == json.dumps({"p": value}, sort_keys=True)


def test_kernels(tmp_path: Path) -> None:
    spec = tmp_path / "kernels" / "ir" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": [], "language": "R"}))
    folders = [tmp_path]
    r_book = {"metadata": {"kernelspec": {"name": "ir", "language": "R"}}}
    assert kernels.choose("ir", r_book, folders) == kernels.Kernel("ir", "R")
    assert kernels.choose(None, {}, folders).name == "python3"
    assert kernels.choose("python3", r_book, folders).name == "python3"
    tf = {"metadata": {"kernelspec": {"name": "tf2"}, "language_info": {"name": "python"}}}
    assert kernels.choose("tf2", tf, folders).remark
    with pytest.raises(Fault, match="has: ir, python3") as caught:
        kernels.choose(
            "julia-1.9", {"metadata": {"kernelspec": {"name": "julia-1.9", "language": "julia"}}}, folders
        )
    assert caught.value.reason == "kernel_not_found"


@pytest.mark.parametrize(
    ("name", "python"),
    [
        *((name, True) for name in ("golden-features", "irene", "sasha", "rusty", "tf2-gpu")),
        *(
            (name, False)
            for name in ("ir", "ir44", "go-1.22", "gophernotes", "julia-1.9", "sas", "rust", "sparkkernel")
        ),
    ],
    ids=str,
)
def test_an_unknown_kernel_without_a_language_is_python_unless_its_name_says_otherwise(
    tmp_path: Path, name: str, *, python: bool
) -> None:
    book = {"metadata": {"kernelspec": {"name": name}}}
    if python:
        assert kernels.choose(name, book, [tmp_path]).name == "python3"
    else:
        with pytest.raises(Fault, match="is not on this image"):
            kernels.choose(name, book, [tmp_path])


@pytest.mark.parametrize("padding", [1, 60, 120, 180, 240])
def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path, padding: int) -> None:
    """A path of more than 4,096 bytes is refused even for root; a program that changes its folder can make one.

    The padding moves the limit: it can lie in a folder's path, or in the path of an entry of a folder that can be
    listed.
    """
    folder = tmp_path / ("p" * padding)
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("n" * 250, dir_fd=descriptor)
        inner = os.open("n" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("rides.csv", os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    found, skipped = outputs.scan(folder)
    assert found == []
    assert [s.why for s in skipped] == ["cannot be read: File name too long"]


def test_outputs_names(tmp_path: Path) -> None:
    (tmp_path / "ok").write_text("1")
    (tmp_path / os.fsdecode(b"latin\xe9")).write_text("1")
    found, skipped = outputs.scan(tmp_path)
    assert [output.name for output in found] == ["outputs/ok"]
    assert [(s.path, s.why) for s in skipped] == [("outputs/latin\\udce9", "its name is not UTF-8")]


REQUEST = PapermillRequest(
    folder=Path(),
    cwd=Path(),
    notebook="d.ipynb",
    name="d",
    kernel="python3",
    language="python",
    parameters={},
    injected="",
    environment={},
    timeout=60.0,
    cell_timeout=2.5,
)


@pytest.mark.parametrize(
    ("code", "seen", "cause", "reason", "words"),
    [
        pytest.param(0, Seen(3, 3), "", None, "", id="no fault"),
        pytest.param(
            1, Seen(3, 2, error={"type": "PapermillExecutionError"}), "", None, "", id="failed cell"
        ),
        pytest.param(
            1,
            Seen(3, 2, running=True, error={"type": "KeyError", "text": "'name'"}),
            "",
            "notebook_failed",
            "papermill failed in cell 2 of 3: KeyError: 'name'",
            id="client's error",
        ),
        pytest.param(
            143,
            Seen(3, 2, running=True),
            "timeout",
            "notebook_timeout",
            "limit of 60 s in cell 2 of 3",
            id="notebook limit",
        ),
        pytest.param(143, Seen(3, 2, running=True), "stopped", "runner", "shutdown", id="shutdown"),
        pytest.param(143, Seen(3, 2, running=True), "overrun", "run_timeout", "limit", id="watchdog"),
        pytest.param(
            1,
            Seen(3, 2, running=True, timed_out=True),
            "",
            "cell_timeout",
            "cell 2 of 3 reached its limit of 2.5 s",
            id="cell limit",
        ),
        pytest.param(
            138,
            Seen(3, 2, running=True),
            "",
            "kernel_died",
            "died in cell 2 of 3",
            id="dead kernel",
        ),
        pytest.param(-9, Seen(3, 2, running=True), "", "kernel_died", "signal 9", id="SIGKILL"),
        pytest.param(
            1,
            Seen(3, 2, failed="OSError: [Errno 28] No space left on device"),
            "",
            "disk_full",
            "disk is full",
            id="disk full in a cell",
        ),
        pytest.param(
            1,
            Seen(3, 2, error={"disk_full": True}),
            "",
            "disk_full",
            "after cell 2",
            id="disk full after a cell",
        ),
        pytest.param(
            1, Seen(3, error={"type": "NoSuchKernel"}), "", "kernel_not_found", "python3", id="no such kernel"
        ),
        pytest.param(
            1,
            Seen(3, error={"type": "RuntimeError", "text": "Kernel died before"}),
            "",
            "kernel_died",
            "the kernel did not start: Kernel died before",
            id="kernel died at once",
        ),
    ],
)
def test_faults(
    code: int, seen: Seen, cause: Stop | Literal["timeout"], reason: str | None, words: str
) -> None:
    fault = fault_of(code, seen, cause, REQUEST, out_of_memory=False)
    assert (fault and fault.reason) == reason
    assert words in (fault.message if fault else "")


def test_a_job_that_is_not_understood() -> None:
    for text in (b"{", b"[]", b"{}"):
        with pytest.raises(Fault, match=r"job\.json is not understood"):
            decode_job(text)


def test_files_beside_outputs_are_found(tmp_path: Path) -> None:
    for name in (
        "books/demo.ipynb",
        "books/outputs/kept.csv",
        "books/model.pkl",
        "cache/a.bin",
        "lib/__pycache__/x.pyc",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert outputs.beside(tmp_path, {tmp_path / "books/demo.ipynb"}) == ["books/model.pkl", "cache/a.bin"]


def test_output_that_never_arrives_is_not_the_cells_limit() -> None:
    cell = v4.new_code_cell("1")
    waited = CellTimeoutError.error_from_timeout_and_cell("Timeout waiting for IOPub output", 600, cell)
    assert _outcome(cell, waited)[0] == "aborted"
    limited = CellTimeoutError.error_from_timeout_and_cell("Cell execution timed out", 5, cell)
    assert _outcome(cell, limited)[0] == "timeout"


def test_a_disk_that_fills_while_results_are_prepared_is_the_notebooks_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "results/output-0")

    monkeypatch.setattr(results, "_store_notebook", fill)
    with pytest.raises(OSError, match="No space left") as caught:
        results.store(cast("Any", None), cast("Any", None))
    assert app.fault_of(caught.value).reason == "disk_full"
