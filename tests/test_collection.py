"""Every process collects the same tests under the same ids, as pytest-xdist's workers must."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.test_clients import CALLS as DEPLOY_CALLS
from tests.deploy.test_clients import label as deploy_call
from tests.integration.call_cases import CALLS as RUN_CALLS
from tests.integration.call_cases import label as run_call
from tests.integration.test_placement import PLACES, ROWS

pytestmark = pytest.mark.test_all

TESTS = Path(__file__).parent
REFUSED = {
    "bytes": '(1, b"x")',
    "empty": '(1, "")',
    "long": '(1, "x" * 41)',
    "line_feed": '(1, "a\\nb")',
    "not_ascii": '(1, "é")',
    "lambda": "(1, lambda: 0)",
    "tuple": '(1, ("a", "b"))',
    "list": "(1, [])",
    "mapping": "(1, {})",
    "set": '(1, {"a", "b"})',
    "object": "(1, object())",
}
TAKEN = {
    "text": ('(1, "x" * 40)', "1-" + "x" * 40),
    "null": ("(1, None)", "1-None"),
    "boolean": ("(1, True)", "1-True"),
    "integer": ("(1, 7)", "1-7"),
    "fraction": ("(1, 1.5)", "1-1.5"),
    "enum": ("(1, signal.Handlers.SIG_IGN)", "1-1"),
    "class": ("(1, dict)", "1-dict"),
    "function": ("(1, os.getpid)", "1-getpid"),
    "explicit": ('pytest.param(1, b"x", id="one byte")', "one byte"),
}


def collect(
    place: Path, seed: int, *arguments: str, sample: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Collect the tests of a folder or a file in a process of its own, with this hash seed."""
    options = ["--collect-only", "-q", "--assert=plain", "-p", "no:cacheprovider", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "NB_SAMPLE"))}
    env |= {} if sample is None else {"NB_SAMPLE": sample}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(place)],
        cwd=place if place.is_dir() else place.parent,
        env=env | {"PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=False,
    )


def write_suite(folder: Path, cases: dict[str, str]) -> None:
    """Write one test file per case, beside a copy of this suite's conftest.py."""
    shutil.copy(TESTS / "conftest.py", folder)
    for name, case in cases.items():
        Path(folder, f"test_{name}.py").write_text(
            "import os, pytest, signal\n"
            f'@pytest.mark.parametrize(("fine", "odd"), [{case}])\n'
            "def test_it(fine, odd): ...\n"
        )


def expression() -> str:
    """The expression with which `make test` chooses by marks."""
    # Not as a part of the make that runs this test, whose flags and variables it would take.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "T"}
    recipe = subprocess.run(
        ["make", "-n", "test"], cwd=TESTS.parent, env=env, capture_output=True, text=True, check=True
    )
    words = shlex.split(recipe.stdout.splitlines()[-1])
    return words[len(words) - words[::-1].index("-m")]


def test_two_processes_collect_the_same_ids() -> None:
    # One after the other, so that they read each file in different seconds.
    collected = []
    for seed in (1, 2):
        done = collect(TESTS, seed)
        assert done.returncode == 0, done.stdout[-2000:]
        collected.append([line for line in done.stdout.splitlines() if "::" in line])
    first, second = collected
    assert len(first) > 5000
    assert sorted(set(first) ^ set(second)) == []
    assert first == second


def test_a_value_that_does_not_name_itself_needs_an_id(tmp_path: Path) -> None:
    write_suite(tmp_path, REFUSED)
    done = collect(tmp_path, 1)
    told = dict(re.findall(r"ERROR collecting test_(\w+)\.py _+\n(.*)", done.stdout))
    assert told.keys() == REFUSED.keys(), done.stdout
    for sentence in told.values():
        assert sentence.startswith("test_it: the argument odd has the value ")
        assert "give the case an id" in sentence


def test_a_value_that_names_itself_or_has_an_id_is_taken(tmp_path: Path) -> None:
    write_suite(tmp_path, {name: case for name, (case, _) in TAKEN.items()})
    done = collect(tmp_path, 1)
    assert done.returncode == 0, done.stdout
    assert dict(re.findall(r"test_(\w+)\.py::test_it\[(.*)\]", done.stdout)) == {
        name: told for name, (_, told) in TAKEN.items()
    }


def test_make_test_runs_the_first_cases_and_each_sample_a_part_of_the_others(tmp_path: Path) -> None:
    shutil.copy(TESTS / "conftest.py", tmp_path)
    Path(tmp_path, "test_cases.py").write_text(
        "import pytest\n"
        "@pytest.mark.always(2)\n"
        "@pytest.mark.parametrize('case', [pytest.param(0, marks=pytest.mark.exhaustive), *range(1, 300)])\n"
        "def test_it(case): ...\n"
    )

    def cases(*arguments: str, sample: str | None = None) -> set[int]:
        done = collect(tmp_path, 1, *arguments, sample=sample)
        assert done.returncode == 0, done.stdout
        return set(map(int, re.findall(r"test_it\[(\d+)\]", done.stdout)))

    always, everything = {1, 2}, set(range(300))
    assert cases("-m", "not exhaustive") == always
    assert cases() == everything
    days = [cases(sample=f"2026-07-0{day}") for day in (1, 2, 3, 4)]
    assert days[0] | days[1] | days[2] == everything
    assert days[0] & days[1] == always
    assert days[0] == days[3]
    assert all(60 < len(day) < 140 for day in days)


def test_make_test_runs_no_test_that_has_a_marker(tmp_path: Path) -> None:
    shutil.copy(TESTS / "conftest.py", tmp_path)
    markers = {"exhaustive", "test_all", "soak", "needs('sh')"}
    Path(tmp_path, "test_markers.py").write_text(
        "import pytest\ndef test_plain(): ...\n"
        + "".join(
            f"@pytest.mark.{marker}\ndef test_{number}(): ...\n"
            for number, marker in enumerate(sorted(markers))
        )
    )
    named = {"always"} | {marker.partition("(")[0] for marker in markers}
    configured = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert {re.split(r"[(:]", line)[0] for line in configured["markers"]} == named
    done = collect(tmp_path, 1, "-m", expression())
    assert re.findall(r"::(\w+)", done.stdout) == ["test_plain"], done.stdout


@pytest.mark.parametrize(
    ("folder", "calls"),
    [
        pytest.param("integration", {run_call(call) for call in RUN_CALLS}, id="run"),
        pytest.param("deploy", {deploy_call(call) for call in DEPLOY_CALLS}, id="deploy"),
    ],
)
def test_make_test_has_each_call_in_each_test_of_the_calls(folder: str, calls: set[str]) -> None:
    file = {"integration": "test_calls.py", "deploy": "test_clients.py"}[folder]
    done = collect(TESTS / folder / file, 1, "-m", expression())
    found: dict[str, set[str]] = {}
    for test, case in re.findall(r"::(\w+)\[(.*)\]", done.stdout):
        found.setdefault(test, set()).add(case.rpartition("-")[2])
    assert len(found) >= 3, done.stdout
    clock = {"zones.list", "builds.list"}  # it is read from an error too, so no lasting refusal of it is one
    for test, met in found.items():
        assert calls - clock <= met <= calls, test


def test_make_test_has_each_refusal_of_a_vm_and_each_place_of_one() -> None:
    done = collect(TESTS / "integration" / "test_placement.py", 1, "-m", expression())
    cases = re.findall(r"::test_each_refusal_reaches_as_far_as_it_should\[(.*)-(.*)\]", done.stdout)
    assert [row for row, _ in cases] == list(ROWS), done.stdout
    assert {place for _, place in cases} == set(PLACES)
