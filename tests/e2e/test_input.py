"""Bad input is told whole, at once and before any call; `plan` and `options` call nothing either."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.builder_process import ROOT, VM_ACCOUNT, notebook

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
SERVICES = ("COMPUTE", "STORAGE", "CLOUDRESOURCEMANAGER")
RIGHT = {
    "PROJECT_ID": "my-project",
    "NB_NOTEBOOKS": "demo.ipynb",
    "NB_GCS_LOCATION": "gs://my-bucket/ci",
    "NB_VM_SERVICE_ACCOUNT": VM_ACCOUNT,
    "NB_RUN_ID": "r1",
}


@dataclass
class Google:
    """A stand-in for Google, which only records the calls."""

    address: str
    calls: list[str]


@pytest.fixture
def google() -> Iterator[Google]:
    found = Google("", [])
    with socket.create_server(("127.0.0.1", 0)) as server:
        found.address = f"127.0.0.1:{server.getsockname()[1]}"

        def count() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                found.calls.append("a call")
                connection.close()

        threading.Thread(target=count, daemon=True).start()
        yield found
        server.shutdown(socket.SHUT_RDWR)


@dataclass
class Spoken:
    code: int
    out: str
    err: str


def speak(google: Google, folder: Path, *arguments: str, **options: str) -> Spoken:
    """Run the entry point in this folder, with Google's place taken."""
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NB_", "GOOGLE", "CLOUDSDK"))
        },
        **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": f"http://{google.address}" for name in SERVICES},
        **dict.fromkeys(("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"), google.address),
        **options,
    }
    command = [sys.executable, str(ROOT / "entrypoint.py"), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Spoken(done.returncode, done.stdout, done.stderr)


def write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / f"{name}.ipynb").write_text(content)
    return folder


def test_every_mistake_is_reported_at_once_and_nothing_is_called(google: Google, tmp_path: Path) -> None:
    write(
        tmp_path,
        old='{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}',
        broken="{",
        empty=(NOTEBOOKS / "no_code.ipynb").read_text(),
        demo=notebook(("days = 1", ["parameters"]), "days"),
    )
    said = speak(
        google,
        tmp_path,
        "run",
        "--nonsense",
        NB_NOTEBOOKS="old.ipynb,broken.ipynb,empty.ipynb,demo.ipynb,dmeo.ipynb,gone/*.ipynb",
        NB_TIMOUT="3",
        NB_TIMEOUT="soon",
        NB_ZONES="us-central1-a,mars",
        NB_EXPECT="outputs/*.csv>=lots",
        NB_PARAMETERS='{"day": 1}',
        NB_SECRETS="A=hunter2,NB_KEY=projects/my-project/secrets/s/versions/1",
        NB_REUSE_GREEN="soon",
        NB_GCS_LOCATION="my-bucket",
    )
    assert said.code == 2
    assert said.out == ""
    lines = said.err.splitlines()
    for begin, words in {
        "--nonsense": "no such flag",
        "NB_TIMOUT": "did you mean NB_TIMEOUT?",
        "NB_TIMEOUT is 'soon'": "seconds as a whole number",
        "NB_ZONES is 'mars'": "expected a zone such as",
        "NB_EXPECT": "expected a size like",
        "NB_SECRETS is 'A'": "expected projects/PROJECT/secrets/SECRET/versions/VERSION",
        "NB_SECRETS is 'NB_KEY'": "belongs to",
        "NB_REUSE_GREEN is 'soon'": "expected never, or an age",
        "NB_GCS_LOCATION is 'my-bucket'": "gs://",
        "NB_VM_SERVICE_ACCOUNT": "is required",
        "NB_NOTEBOOKS is 'dmeo.ipynb'": "did you mean demo.ipynb?",
        "NB_NOTEBOOKS is 'gone/*.ipynb'": "matches no notebook",
        "old.ipynb": "format 3",
        "broken.ipynb": "not valid JSON at line 1",
        "empty.ipynb": "no code cell",
        "NB_PARAMETERS is 'day'": "did you mean days?",
    }.items():
        assert [line for line in lines if line.startswith(f"  {begin}") and words in line], (begin, said.err)
    assert lines[1] == "verdict: RED, 16 mistakes found before any call (exit code 2: bad input)"
    assert lines[-2:] == ["  do: Correct the 16 mistakes above.", "left behind: nothing"]
    assert google.calls == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"NB_NOTEBOOKS": "missing.ipynb"}, "matches no notebook", id="missing notebook"),
        pytest.param({"NB_PARAMETERS": '{"unknown": 1}'}, "declares it", id="undeclared parameter"),
        pytest.param(
            {"NB_PARAMETERS": '{"unknown": '},
            "NB_PARAMETERS",
            id="half of a JSON object",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            {"NB_NOTEBOOKS": "../demo.ipynb"},
            "no .. in it",
            id="path that leads up",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            {"NB_KERNEL": "a b"}, "a kernel's name", id="kernel with a space", marks=pytest.mark.exhaustive
        ),
        pytest.param(
            {"NB_CONFIG": "other.yaml"}, "no such file", id="missing config", marks=pytest.mark.exhaustive
        ),
    ],
)
def test_one_mistake_is_one_line(google: Google, tmp_path: Path, options: dict[str, str], words: str) -> None:
    write(tmp_path, demo=notebook("1"))
    said = speak(google, tmp_path, "plan", **{**RIGHT, **options})
    assert said.code == 2
    lines = said.err.splitlines()
    assert lines[1] == "verdict: RED, 1 mistake found before any call (exit code 2: bad input)"
    assert words in lines[2]
    assert lines[3:] == ["  do: Correct the mistake above.", "left behind: nothing"]
    assert google.calls == []


@pytest.mark.parametrize("arguments", [("rnu",), ("plan", "--format", "yaml")], ids=["command", "option"])
def test_unknown_commands_are_refused(google: Google, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    said = speak(google, tmp_path, *arguments, **RIGHT)
    assert (said.code, said.out) == (2, "")
    assert "verdict: RED" in said.err


def test_a_mistake_with_escape_codes_in_it_cannot_clear_the_log(google: Google, tmp_path: Path) -> None:
    said = speak(
        google, tmp_path, NB_NOTEBOOKS="\x1b[2J\rverdict: GREEN\u2028x.ipynb", NB_ZONES="a\nverdict: GREEN"
    )
    assert said.code == 2
    assert not [c for c in said.err if ord(c) < 32 and c != "\n"]
    assert [line for line in said.err.splitlines() if line.startswith("verdict:")] == [
        said.err.splitlines()[1]
    ]


def test_bad_input_is_reported_in_under_half_a_second(google: Google, tmp_path: Path) -> None:
    """In time of the processor, beyond Python's own start: others may keep this machine busy."""
    write(tmp_path, demo=notebook("1"))

    def spent(action: Callable[[], object]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        action()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    options = {**RIGHT, "NB_TIMEOUT": "soon", "NB_NOTEBOOKS": "*.ipynb"}
    bare = min(spent(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) for _ in range(3))
    told = min(spent(lambda: speak(google, tmp_path, **options)) for _ in range(3))
    assert told - bare < 0.5, (told, bare)


def test_google_s_libraries_are_not_even_imported_for_bad_input(google: Google, tmp_path: Path) -> None:
    write(tmp_path, demo=notebook("1"))
    program = (
        "import sys; sys.argv = ['entrypoint.py']; from builder.cli import main; code = main(); "
        "print(code, [name for name in sys.modules if name.split('.')[0] in ('google', 'requests', 'grpc')])"
    )
    environment = {**os.environ, **RIGHT, "NB_TIMEOUT": "soon", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"


def test_plan_shows_all_that_a_run_would_do_and_calls_nothing(google: Google, tmp_path: Path) -> None:
    write(tmp_path, demo=notebook(("days = 1", ["parameters"]), "days"), other=notebook("1"))
    options = {
        **RIGHT,
        "NB_NOTEBOOKS": "demo.ipynb",
        "NB_PARAMETERS": '{"days": 7}',
        "NB_ZONES": "us-west1-b,europe-west4",
        "NB_MACHINE_TYPE": "n1-standard-8",
        "NB_ACCELERATOR": "nvidia-tesla-t4:1",
        "NB_EXPECT": "outputs/*.csv>=10KB",
        "NB_TIMEOUT": "600",
        "NB_CELL_TIMEOUT": "60",
    }
    said = speak(google, tmp_path, "plan", **options)
    assert (said.code, said.err) == (0, "")
    fields = dict(line.strip().split(None, 1) for line in said.out.splitlines() if line.startswith("  "))
    assert fields["parameters"] == '{"days": 7}'
    assert fields["zones"] == "us-west1-b, region:europe-west4"
    assert fields["image"].startswith("family:deeplearning-platform-release/")
    assert fields["machine"] == "n1-standard-8 + 1 x nvidia-tesla-t4"
    assert fields["limits"] == "notebook 10 min, cell 1 min, boot 10 min, at most 3 attempts"
    assert fields["output"] == "gs://my-bucket/ci/results/r1/demo/"
    assert fields["account"] == VM_ACCOUNT
    assert said.out.splitlines()[0] == "run r1 in project my-project, gs://my-bucket/ci"

    plan = json.loads(speak(google, tmp_path, "plan", "--format", "json", **options).out)
    (job,) = plan["jobs"]
    body = job["instance"]
    assert job["vm_deadline_seconds"] == int(body["scheduling"]["maxRunDuration"]["seconds"])
    assert body["scheduling"]["instanceTerminationAction"] == "DELETE"
    assert body["guestAccelerators"][0]["acceleratorCount"] == 1
    assert job["zones"] == ["us-west1-b", "region:europe-west4"]
    assert f"{plan['worst_case_seconds']} s" in said.out.splitlines()[-1]
    assert plan["expected_seconds"] == 180 + 600
    assert said.out.splitlines()[-2] == "expected:   at most 780 s (13 min), if no attempt is repeated"
    assert plan["worst_case_seconds"] > 3 * job["vm_deadline_seconds"]
    assert google.calls == []


@pytest.mark.always(1)
@pytest.mark.parametrize("command", ["plan", pytest.param("check", marks=pytest.mark.exhaustive), "run"])
def test_a_worst_case_that_no_build_can_wait_for_is_a_warning(
    google: Google, tmp_path: Path, command: str
) -> None:
    write(tmp_path, demo=notebook("1"))
    nobody = {**RIGHT, "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json")}
    said = speak(google, tmp_path, command, **{**nobody, "NB_TIMEOUT": "36000"})
    (warning,) = [line for line in said.err.splitlines() if line.startswith("warning: ")]
    assert "is longer than the 24 h that a build may run" in warning
    assert all(
        name in warning for name in ("NB_CONCURRENCY", "NB_TIMEOUT", "NB_MAX_ATTEMPTS", "NB_NOTEBOOKS")
    )
    within = speak(google, tmp_path, command, **nobody)
    assert "24 h" not in within.err
    assert (said.code, within.code) == (
        (0, 0) if command == "plan" else (4, 4)
    )  # 4: there are no credentials


@pytest.mark.always(1)
@pytest.mark.parametrize(
    ("step", "warned"),
    [
        pytest.param({"BUILDER_OUTPUT": "/builder/outputs"}, True, id="a step without substitutions"),
        pytest.param({"BUILDER_OUTPUT": "/builder/outputs", "BUILD_ID": "b-1"}, False, id="a step with them"),
        pytest.param({}, False, id="no build"),
    ],
)
def test_a_step_without_build_id_gets_advice(
    google: Google, tmp_path: Path, step: dict[str, str], *, warned: bool
) -> None:
    write(tmp_path, demo=notebook("1"))
    nobody = {**RIGHT, "NB_RUN_ID": "", "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json")}
    said = speak(google, tmp_path, "run", **nobody, **step)
    warnings = [line for line in said.err.splitlines() if line.startswith("warning: ")]
    assert ["automapSubstitutions: true" in line and "random id" in line for line in warnings] == [
        True
    ] * warned


def test_the_plan_says_whether_a_build_can_wait_for_it(google: Google, tmp_path: Path) -> None:
    write(tmp_path, demo=notebook("1"))
    long = {**RIGHT, "NB_TIMEOUT": "36000"}
    assert "no build lasts so long" in speak(google, tmp_path, "plan", **long).out.splitlines()[-1]
    assert "the build's own timeout must exceed it" in speak(google, tmp_path, "plan", **RIGHT).out
    for options, exceeds in ((long, True), (RIGHT, False)):
        plan = json.loads(speak(google, tmp_path, "plan", "--format", "json", **options).out)
        assert plan["exceeds_longest_build"] is exceeds
        assert (plan["worst_case_seconds"] > 24 * 3600) is exceeds


def test_plan_needs_no_run_id_and_no_project(google: Google, tmp_path: Path) -> None:
    write(tmp_path, demo=notebook("1"))
    said = speak(google, tmp_path, "plan", **{**RIGHT, "NB_RUN_ID": "", "PROJECT_ID": ""})
    assert said.code == 0, said.err
    assert "run <run> in project <project>" in said.out
    assert "results/<run>/demo/" in said.out
    assert google.calls == []


def test_options_are_printed_in_every_format(google: Google, tmp_path: Path) -> None:
    shown = {
        name: speak(google, tmp_path, "options", "--format", name)
        for name in ("text", "markdown", "json-schema")
    }
    assert all((said.code, said.err) == (0, "") for said in shown.values())
    assert all("gcs_location" in said.out.lower() for said in shown.values())
    assert json.loads(shown["json-schema"].out)["properties"]["timeout"]["type"] == "integer"
    assert google.calls == []
