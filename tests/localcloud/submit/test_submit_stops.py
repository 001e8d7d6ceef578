"""Stops of `submit`: Ctrl-C and other signals cancel the build, and a reader that goes away is no bug."""

import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import Cloud
from localcloud.core.faults import Fault
from tests.localcloud.submit.terminal import COMMAND, builds, built, environment
from tests.patience import HANGS, PATIENCE, SOON
from tests.polling import eventually

LASTING = "steps: [{name: bash, script: 'echo started; sleep 600'}]\n"


@pytest.fixture
def lasting(folder: Path, there: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A submit with a running, long build."""
    (folder / "cloudbuild.yaml").write_text(LASTING)
    with subprocess.Popen(
        [*COMMAND, str(folder)],
        env=environment(**there),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert any(line == "started\n" for line in process.stdout)
        yield process
        process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_build(
    lasting: subprocess.Popen[str], cloud: Cloud, number: int, code: int
) -> None:
    lasting.send_signal(number)
    shown, said = lasting.communicate(timeout=PATIENCE)
    assert lasting.returncode == code
    assert shown.splitlines()[-2:] == ["CANCELLED", "ERROR: context canceled"]
    assert re.search(r"^Cancelling\.\.\.\nCancelled \[\S+\]\.$", said, re.MULTILINE)
    assert builds(cloud) == ["CANCELLED"]


def test_a_second_ctrl_c_leaves_at_once(
    lasting: subprocess.Popen[str], cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, released, take = threading.Event(), threading.Event(), cloud.faults.take

    def hold(method: str, facts: Mapping[str, Any]) -> Fault | None:
        if method == "cloudbuild.projects.locations.builds.cancel":
            arrived.set()
            released.wait(HANGS)
        return take(method, facts)

    monkeypatch.setattr(cloud.faults, "take", hold)
    lasting.send_signal(signal.SIGINT)
    assert arrived.wait(PATIENCE)
    lasting.send_signal(signal.SIGINT)
    assert lasting.wait(timeout=SOON) == 130
    assert builds(cloud) == ["WORKING"]
    released.set()
    eventually(lambda: builds(cloud) == ["CANCELLED"])  # what was asked for is done


def test_a_reader_that_has_enough_is_no_bug(folder: Path, cloud: Cloud, there: Mapping[str, str]) -> None:
    built(folder, "while echo line; do sleep 0.1; done")
    with subprocess.Popen(
        [*COMMAND, str(folder)],
        env=environment(**there),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert any(line == "line\n" for line in process.stdout)
        process.stdout.close()
        assert process.wait(timeout=PATIENCE) == 141
        assert "Traceback" not in process.stderr.read()
    assert builds(cloud) == ["WORKING"]
