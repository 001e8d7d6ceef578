"""What tests of `submit` share."""

from pathlib import Path

import pytest

from tests.localcloud.submit.repo import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "repo")
