"""Text that a notebook printed cannot move the cursor, colour the log or forge a line."""

from __future__ import annotations

import pytest

from builder.plain_text import MAX_LINE, escaped, one_line, plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("\x1b[31mred\x1b[0m", "red", id="colour"),
        pytest.param("\x1b[2J\x1b[1;1Hx", "x", id="clear and move"),
        pytest.param("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", "ab", id="title and link"),
        pytest.param("\x1b]0;never ended", "", id="title without an end"),
        pytest.param("\x1bPq#0\x1b\\a\x1b(Bb\x1b", "ab", id="device control and character set"),
        pytest.param("a\r\nb\rc", "a\nb\nc", id="line breaks"),
        pytest.param("a\x00\x08\x7f\x9b31mb\tc", "a31mb\tc", id="control characters"),
        pytest.param("a\u2028b\x0cc\x85d", "a b c d", id="Unicode line breaks"),
        pytest.param("a\u202egreen\u2066b\ud800", "agreenb", id="direction marks and surrogate"),
        pytest.param("ä 漢 🚲", "ä 漢 🚲", id="not ASCII"),
    ],
)
def test_plain(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_long_lines_are_cut() -> None:
    assert plain("x" * 5000 + "\ny") == "x" * MAX_LINE + "…\ny"


def test_one_line() -> None:
    assert one_line("\n  \n a\nb") == "a"
    assert one_line("") == ""
    assert one_line("x" * 400) == "x" * 300 + "…"


def test_an_escaped_value_hides_nothing_and_is_short() -> None:
    assert escaped("a\x1b[31m\x00\ud800b") == "a\\x1b[31m\\x00\\ud800b"
    assert len(escaped("\x00" * 500)) <= 80
