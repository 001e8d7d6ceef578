"""A cloud of submit's own runs all builds alike: also those that steps start, whose images it is asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import localcloud.__main__ as command_line
from localcloud.cloud import Cloud

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("flags", "runner"), [((), "process"), (("--runner", "docker"), "docker")])
def test_the_runner_asked_for_is_the_cloud_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: tuple[str, ...], runner: str
) -> None:
    begun: list[Any] = []

    class Noted(Cloud):
        def __init__(self, state: Path, **how: Any) -> None:
            begun.append(how["runner"])
            super().__init__(state, **how)

    monkeypatch.setattr(command_line, "Cloud", Noted)
    monkeypatch.setenv("DOCKER", "false")  # no engine: the build fails at once
    monkeypatch.delenv("LOCALCLOUD_URL", raising=False)
    (tmp_path / "cloudbuild.yaml").write_text("steps: [{name: ubuntu, args: ['true']}]\n")
    assert command_line.main(["submit", *flags, str(tmp_path)]) == (runner == "docker")
    assert begun == [runner]
