"""Every write below a watched folder is reported, also one that was undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.writes import watch_writes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(lambda root: (root / "a" / "new").touch(), ["a", "a/new"], id="new file"),
        pytest.param(lambda root: (root / "a" / "old").unlink(), ["a", "a/old"], id="file removed"),
        pytest.param(lambda root: (root / "a" / "old").write_text("longer"), ["a/old"], id="file written"),
        pytest.param(lambda root: (root / "a" / "old").chmod(0o600), ["a/old"], id="mode changed"),
        pytest.param(
            lambda root: [(root / "a" / "x").touch(), (root / "a" / "x").unlink()],
            ["a"],
            id="made and removed",
        ),
        pytest.param(lambda root: (root / "ignored" / "x").touch(), [], id="ignored folder"),
        pytest.param(lambda root: (root / "a" / "old").read_text(), [], id="file read"),
    ],
)
def test_writes_are_found(act: Callable[[Path], object], expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "ignored").mkdir()
    (tmp_path / "a" / "old").write_text("x")
    (tmp_path / "a" / "link").symlink_to("/")
    with watch_writes([tmp_path, tmp_path / "missing"], ignore=[tmp_path / "ignored"]) as written:
        act(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in written] == expected


def test_depth_bounds_the_search(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with watch_writes([tmp_path], depth=1) as written:
        (tmp_path / "a" / "b" / "deep").touch()
        (tmp_path / "a" / "shallow").touch()
    assert written == [tmp_path / "a"]
