"""The digest of a checkout: it changes only with the files that the image runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localcloud.engines.build import RunnerError
from localcloud.engines.build_process.images import ProcessImages
from localcloud.profile.image import digest_of, own_image


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("entrypoint.py", "builder/cli.py", "builder/act/run.py", "function/main.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    "changed", ["entrypoint.py", "builder/act/run.py", "builder/new.css", "function/main.py"]
)
def test_the_digest_changes_with_a_file(checkout: Path, changed: str) -> None:
    before = digest_of(checkout)
    assert re.fullmatch("sha256:[0-9a-f]{64}", before)
    (checkout / changed).write_text("changed")
    assert digest_of(checkout) != before


def test_a_files_name_and_content_are_hashed_apart(checkout: Path) -> None:
    (checkout / "builder/a").write_text("bc")
    before = digest_of(checkout)
    (checkout / "builder/a").unlink()
    (checkout / "builder/ab").write_text("c")
    assert digest_of(checkout) != before


def test_the_digest_changes_with_a_name_and_with_a_missing_file(checkout: Path) -> None:
    found = {digest_of(checkout)}
    (checkout / "builder/cli.py").rename(checkout / "builder/cli2.py")
    found.add(digest_of(checkout))
    (checkout / "function/main.py").unlink()
    (checkout / "function").rmdir()
    found.add(digest_of(checkout))
    assert len(found) == 3


@pytest.mark.parametrize(
    "file", ["tests/x.py", "README.md", "builder/__pycache__/cli.pyc", "builder/act/.run.py.swp"]
)
def test_files_outside_the_image_do_not_change_the_digest(checkout: Path, file: str) -> None:
    before = digest_of(checkout)
    (checkout / file).parent.mkdir(exist_ok=True)
    (checkout / file).write_text("changed")
    assert digest_of(checkout) == before


def test_a_digest_stays_that_of_the_first_look_at_the_checkout(checkout: Path) -> None:
    images = ProcessImages(own_image(checkout))
    digest = images.digest("r/notebook-builder:1")
    (checkout / "entrypoint.py").write_text("changed")
    assert images.digest(f"r/notebook-builder@{digest}") == digest
    changed = ProcessImages(own_image(checkout))
    assert changed.digest(f"r/notebook-builder@{digest}") is None
    assert not changed.is_known(f"r/notebook-builder@{digest}")
    with pytest.raises(
        RunnerError, match=f'manifest unknown: Failed to fetch "{digest}"; the checkout in .* is sha'
    ):
        changed.command(f"r/notebook-builder:1@{digest}", None, ())
