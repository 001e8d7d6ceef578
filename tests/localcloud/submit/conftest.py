"""Fixtures for tests of `submit`."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from localcloud.cloud import Cloud
from tests.localcloud.submit.repo import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "repo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


@pytest.fixture
def there(cloud: Cloud) -> Mapping[str, str]:
    """The variables of a running cloud."""
    return {"LOCALCLOUD_URL": cloud.url, "LOCALCLOUD_OWNER_TOKEN": cloud.iam.owner_token}
