"""The demo with a small notebook instead of the example's: its chapters in order, and its stop at an unexpected end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

import pytest

from localcloud import demo
from localcloud.cloud import Cloud
from localcloud.engines.reaper import descendants

pytestmark = pytest.mark.timeout(900)

LINES = 150  # at most, of the demo with the real notebook, whose ten cells are shown twice
CELLS = [
    "# Bike share in San Francisco",
    'start_date = "2018-04-01"\nend_date = "2018-04-30"',
    "import os, pathlib\npathlib.Path(os.environ['NB_OUTPUT_DIR'], 'stations.csv').write_text('a')",
    'column = "trip.subscriber_type"\nassert column.endswith("type"), column',
]


def example(folder: Path, *cells: str) -> Path:
    """The example with these cells: the first is text, the second has parameters."""
    shutil.copytree(demo.EXAMPLE, folder, ignore=shutil.ignore_patterns("outputs", "__*"))
    settings = (folder / "notebooks.yaml").read_text()
    settings = re.sub(
        r"^(?:image_family|requirements): .*\n|^ +- outputs/\*\.svg.*\n", "", settings, flags=re.MULTILINE
    )
    (folder / "notebooks.yaml").write_text(settings)
    kinds = ["markdown", *["code"] * (len(cells) - 1)]
    found: list[dict[str, Any]] = [
        {"cell_type": kind, "id": f"c{n}", "metadata": {}, "source": text}
        | ({"execution_count": None, "outputs": []} if kind == "code" else {})
        for n, (kind, text) in enumerate(zip(kinds, cells, strict=True))
    ]
    found[1]["metadata"] = {"tags": ["parameters"]}
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = {"cells": found, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "demo.ipynb").write_text(json.dumps(notebook, indent=1))
    return folder


def code_of(tmp_path: Path, folder: Path) -> str:
    """Code that runs the demo on the repo `folder` and exits with its code."""
    paths = f"pathlib.Path({str(tmp_path / 'demo')!r}), pathlib.Path({str(folder)!r})"
    return f"import pathlib, sys; from localcloud import demo; sys.exit(demo.main({paths}))"


def titles(printed: str) -> list[str]:
    return re.findall(r"^=== (.*?)(?::.*)? ===$", printed, re.MULTILINE)


def test_the_demo_is_short_and_in_order(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = demo.main(tmp_path / "demo", example(tmp_path / "example", *CELLS))
    printed, errors = capfd.readouterr()
    assert code == 0, printed + errors
    assert titles(printed) == [
        "1/6  A good commit",
        "2/6  A broken commit",
        "3/6  The fix",
        "4/6  The schedule",
        "5/6  A message by hand",
        "6/6  The same commit again",
        "What is in the bucket now",
    ]
    assert (
        len(re.findall(r"^  verdict: GREEN", printed, re.MULTILINE)) == 8
    )  # a run and a deployment thrice, two runs
    assert len(re.findall(r"^  verdict: RED", printed, re.MULTILINE)) == 1
    assert "AssertionError: trip.subscriber_typ" in printed
    assert "  schedule bike-share created" in printed
    ours, real = len(CELLS) - 1, 10
    assert printed.count("\n") + 2 * (real - ours) + 5 <= LINES  # five more of the failed cell's source
    pages = [Path(url2pathname(page)) for page in re.findall(r"^  file://(\S+)$", printed, re.MULTILINE)]
    assert [page.name for page in pages] == ["demo-clean.html", "index.html"]
    assert all(page.is_file() for page in pages)
    logs = sorted((tmp_path / "demo" / "logs").iterdir())
    assert [log.name[:2] for log in logs] == ["00", "01", "02", "03", "04", "05", "06"]
    for log in logs[1:]:
        assert log.name in printed
        assert "verdict: " in log.read_text()


def test_it_does_not_remove_the_folder_of_a_cloud_that_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Cloud(tmp_path / "demo" / "cloud") as cloud:
        assert demo.main(tmp_path / "demo", tmp_path / "no-example") == 2
        assert cloud.iam.policies.names()
        assert (tmp_path / "demo" / "cloud" / "iam" / "policies.json").exists()
    assert "another localcloud works on the state directory" in capfd.readouterr().err


def test_it_stops_where_a_good_commit_is_red(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = example(tmp_path / "example", *CELLS, "1 / 0")
    assert demo.main(tmp_path / "demo", broken) == 1
    printed, errors = capfd.readouterr()
    assert titles(printed) == ["1/6  A good commit"]
    assert "ZeroDivisionError" in printed
    assert errors.splitlines()[-1] == (
        'The demo stopped at chapter 1, "A good commit: the notebook runs on a VM, and goes live": '
        "expected the build to be green (exit code 0), but its exit code is 1. "
        f"The log is {tmp_path}/demo/logs/01-a-good-commit.log"
    )
    assert "Traceback" not in errors


def test_it_stops_where_a_broken_commit_is_green(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    careless = example(tmp_path / "example", *CELLS[:3], 'column = "trip.subscriber_type"')
    assert demo.main(tmp_path / "demo", careless) == 1
    printed, errors = capfd.readouterr()
    assert titles(printed) == ["1/6  A good commit", "2/6  A broken commit"]
    assert "expected the build to be red (exit code 1), but its exit code is 0. The log is " in errors


def test_another_failure_is_one_sentence_with_its_traceback_in_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert demo.main(tmp_path / "demo", example(tmp_path / "example", *CELLS)) == 1
    printed, errors = capfd.readouterr()
    assert "The demo stopped at its beginning: expected no failure; FileNotFoundError: " in errors
    assert "Traceback" not in printed + errors
    assert "Traceback" in (tmp_path / "demo/logs/00-beginning.log").read_text()


@pytest.mark.needs("namespaces")
def test_the_demo_works_without_namespaces_and_names_the_setting_once(tmp_path: Path) -> None:
    folder = example(tmp_path / "example", *CELLS)
    forbid = 'for f in user mnt; do echo 0 > /proc/sys/user/max_${f}_namespaces; done; exec "$@"'
    told = subprocess.run(
        ["unshare", "-r", "sh", "-c", forbid, "sh", sys.executable, "-c", code_of(tmp_path, folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert len(titles(told.stdout)) == 7
    assert told.stdout.count("WARNING: localcloud cannot give this step its own view") == 1
    assert "what allows it: sudo sysctl user.max_user_namespaces=10000\n" in told.stdout


def test_ctrl_c_cancels_the_build_and_leaves_nothing(tmp_path: Path) -> None:
    folder = example(tmp_path / "example", *CELLS, "import time; time.sleep(600)")
    with subprocess.Popen(
        [sys.executable, "-c", code_of(tmp_path, folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "cell 3/4 ok" in line:
                break
        below = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        rest = process.stdout.read()
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "Interrupted. What ran has been ended."
    assert "Traceback" not in rest
    assert len(below) > 3
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    assert "Cancelled [" in (tmp_path / "demo/logs/01-a-good-commit.log").read_text()
