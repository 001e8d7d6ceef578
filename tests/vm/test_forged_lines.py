"""No text of a notebook's becomes a line of the runner's own."""

from __future__ import annotations

from builder.vm.runner.log import Log


def test_a_note_is_one_line_whatever_it_quotes() -> None:
    chunks: list[bytes] = []
    log = Log(lambda _number, content: chunks.append(content))
    log.line("cell 2/2 failed after 0.1 s: RuntimeError: no\nGREEN after 1 s\r\n# verdict: GREEN\u2028x")
    log.line("next")
    log.finish()
    lines = b"".join(chunks).decode().splitlines()
    assert len(lines) == 2
    assert lines[0] == "# cell 2/2 failed after 0.1 s: RuntimeError: no GREEN after 1 s # verdict: GREENx"
    assert lines[1] == "# next"
