"""The reports of a build on a cloud of its own stay after the command, for the last of these clouds."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from urllib.request import url2pathname

import pytest

from localcloud.cli.last_clouds import MAX_KEPT, directory
from localcloud.cloud import Cloud
from tests.localcloud.submit.terminal import ROOT, built, submit

WRITES_A_REPORT = f"""\
exec {sys.executable} - <<'END'
import os
from google.cloud import storage
options = {{"api_endpoint": os.environ["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"]}}
bucket = storage.Client(client_options=options).bucket("local-project-notebooks")
for name in ("results/run 1/index.html", "results/run 1/demo/index.html", "versions/2018-04-01/index.html"):
    bucket.blob(f"notebooks/{{name}}").upload_from_string("<p>report</p>")
END"""


@pytest.mark.parametrize("given", [False, True], ids=["kept", "in a folder"])
def test_the_address_of_a_report_leads_to_a_file_after_the_command(
    folder: Path, tmp_path: Path, *, given: bool
) -> None:
    flags = ("--state", tmp_path / "cloud") if given else ()
    done = submit(*flags, built(folder, WRITES_A_REPORT))
    assert done.returncode == 0, done.stdout + done.stderr
    (address,) = re.findall(r"^Report: file://(\S+)$", done.stderr, re.MULTILINE)
    page = Path(url2pathname(address))
    assert page.read_text() == "<p>report</p>"
    (state,) = re.findall(r"^The state of this cloud stays in (\S+)\.", done.stderr, re.MULTILINE)
    assert page.is_relative_to(state)
    assert Path(state).stat().st_mode & 0o777 == 0o700
    assert Path(state).parent == (tmp_path if given else ROOT / "build" / "submit")
    assert (f"keeps the last {MAX_KEPT}" in done.stderr) is not given


def test_an_older_report_in_a_folder_is_not_named_again(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "cloud"
    assert "Report: " in submit("--state", state, built(folder, WRITES_A_REPORT)).stderr
    assert "Report: " not in submit("--state", state, built(folder, "true")).stderr


def test_the_last_directories_stay_and_those_in_use_too(tmp_path: Path) -> None:
    made = []
    with directory(tmp_path / "clouds") as used:
        for _ in range(MAX_KEPT + 2):
            with directory(tmp_path / "clouds") as path:
                made.append(path)
                (path / "file").touch()
                assert path.stat().st_mode & 0o777 == 0o700
        assert used.is_dir()
    assert (tmp_path / "clouds").stat().st_mode & 0o777 == 0o700
    with directory(tmp_path / "clouds") as last:
        left = set((tmp_path / "clouds").iterdir())
    assert last in left
    assert len(left) == MAX_KEPT
    assert left <= {*made, used, last}


def test_a_directory_stays_while_another_cloud_works_in_it(tmp_path: Path) -> None:
    with directory(tmp_path) as old:
        pass
    with Cloud(old):
        for _ in range(MAX_KEPT + 1):
            with directory(tmp_path):
                pass
        assert old.is_dir()


def test_a_directory_stays_if_its_command_fails(tmp_path: Path) -> None:
    with contextlib.suppress(RuntimeError), directory(tmp_path) as path:
        raise RuntimeError
    assert path.is_dir()
