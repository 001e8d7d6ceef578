"""No text of a notebook's becomes a line of the runner's own."""

from __future__ import annotations

from types import SimpleNamespace

from builder.vm.runner.log import Log
from builder.vm.runner.papermill_process import _outcome


def test_a_note_is_one_line_whatever_it_quotes() -> None:
    chunks: list[bytes] = []
    log = Log(lambda _number, content: chunks.append(content))
    log.note("cell 2/2 failed after 0.1 s: RuntimeError: no\nGREEN after 1 s\r\n# verdict: GREEN\u2028x")
    log.note("next")
    log.finish()
    lines = b"".join(chunks).decode().splitlines()
    assert len(lines) == 2
    assert lines[0] == "# cell 2/2 failed after 0.1 s: RuntimeError: no GREEN after 1 s # verdict: GREENx"
    assert lines[1] == "# next"


def test_an_error_that_a_hook_kept_from_the_outputs_is_an_error() -> None:
    failed = SimpleNamespace(papermill={"exception": True})
    cell = SimpleNamespace(outputs=[], metadata=failed, execution_count=3, source="1 / 0")
    assert _outcome(cell, None) == ("failed", "an error without output")
