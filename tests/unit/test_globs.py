"""Globs keep to folders as people expect."""

from __future__ import annotations

import pytest

from builder.globs import fixed_folder, is_glob, matches


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "outputs/a.csv", False),
        ("outputs/*.csv", "outputs/a.csv", True),
        ("outputs/*.csv", "outputs/deep/a.csv", False),
        ("outputs/**", "outputs/deep/a.csv", True),
        ("outputs/**", "outputs/a.csv", True),
        ("outputs/**", "outputs", False),
        ("outputs/**", "outputs/", False),
        ("**/*.csv", "a.csv", True),
        ("**/*.csv", "a/b/c.csv", True),
        ("a/**/z.csv", "a/z.csv", True),
        ("a/**/z.csv", "a/b/c/z.csv", True),
        ("a/**/z.csv", "ab/z.csv", False),
        ("a**b", "axxb", True),
        ("a**b", "a/b", False),
        ("?.txt", "a.txt", True),
        ("a?b", "a/b", False),
        ("[ab].txt", "b.txt", True),
        ("[!ab].txt", "c.txt", True),
        ("[!ab].txt", "a.txt", False),
        ("[!a]b", "/b", False),
        ("[z-a]", "[z-a]", True),
        ("[z-a]", "m", False),
        ("[]]", "]", True),
        ("[a^]", "^", True),
        ("a.c", "abc", False),
        ("a[1].csv", "a1.csv", True),
        pytest.param("a.csv", "a.csv\n", False, id="line feed at the end"),
        pytest.param("*", "a\nb", True, id="line feed under a star"),
        pytest.param("ä ö.csv", "ä ö.csv", True, id="not ASCII"),
    ],
)
def test_matches(pattern: str, path: str, expected: bool) -> None:  # noqa: FBT001
    assert matches(pattern, path) is expected


def test_the_fixed_prefix_of_a_pattern() -> None:
    assert not is_glob("a/b.csv")
    assert is_glob("a/[b].csv")
    assert fixed_folder("a/b/*.csv") == "a/b"
    assert fixed_folder("a/b*/c") == "a"
    assert fixed_folder("*.csv") == ""
    assert fixed_folder("a/b.csv") == "a"
