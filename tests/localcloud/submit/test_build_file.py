"""The checks of a build file: each file in broken/ names its messages; those in good/ get none."""

from pathlib import Path

import pytest

from localcloud.cli.submit.checking import faults, merged
from localcloud.cli.submit.reading import BuildFile, UnreadableError, read

HERE = Path(__file__).parent
BROKEN = sorted((HERE / "broken").iterdir())
GOOD = sorted((HERE / "good").iterdir())
# A broken file says what is due: #! LINE PATH | words of the message
MARK = b"#! "


def named(path: Path) -> str:
    return path.stem


def problems(name: str, data: bytes, **substitutions: str) -> list[str]:
    try:
        return [str(fault) for fault in faults(read(name, data), substitutions)]
    except UnreadableError as error:
        return [f"{name}:{error.line}: {error}"]


@pytest.mark.parametrize("file", BROKEN, ids=named)
def test_broken(file: Path) -> None:
    data = file.read_bytes()
    due = [line[len(MARK) :].decode() for line in data.splitlines() if line.startswith(MARK)]
    found = problems("FILE", data)
    assert len(found) == len(due) > 0, found
    for message, expected in zip(found, due, strict=True):
        place, _, words = expected.partition(" | ")
        line, _, path = place.partition(" ")
        start = f"FILE:{line}: " + (f"{path}: " if path else "")
        assert message.startswith(start)
        assert words in message.removeprefix(start)


@pytest.mark.parametrize("file", GOOD, ids=named)
def test_good(file: Path) -> None:
    assert problems(file.name, file.read_bytes()) == []


def test_the_project_s_own_examples_are_good() -> None:
    files = sorted((HERE.parents[2] / "examples").rglob("cloudbuild*.yaml"))
    assert [problems(str(file), file.read_bytes()) for file in files] == [[] for _ in files]


STEP = b"steps:\n- name: ubuntu\n  args: [$_CITY]\n"


def test_given_substitutions_go_before_those_of_the_file() -> None:
    assert problems("FILE", STEP, _CITY="Paris") == []
    assert problems("FILE", STEP + b"substitutions: {_CITY: Rome}\n", _CITY="Paris") == []


def test_a_wrong_substitution_of_the_command_line_is_reported_after_the_files_faults() -> None:
    found = problems("FILE", STEP, _TOWN="Paris", lower="x")
    assert len(found) == 3
    assert found[0].startswith("FILE:3: steps[0].args[0]: ")
    told = sorted(found[1:])
    assert told[0].startswith('--substitutions: _TOWN: key "_TOWN" in the substitution data is not matched')
    assert told[1].startswith("--substitutions: lower: ")


def test_a_triggered_build_matches_loosely() -> None:
    assert faults(read("FILE", STEP), {"COMMIT_SHA": "0" * 40}, triggered=True) == []


def test_a_triggered_build_evaluates_its_substitutions() -> None:
    """Cloud Build's discovery document, BuildOptions.dynamicSubstitutions: always enabled for triggered builds."""
    file = read("FILE", STEP + b"substitutions: {_CITY: '${BRANCH_NAME//a/b}'}\n")
    assert faults(file, {}) == []
    assert "begins with neither" in str(faults(file, {"BRANCH_NAME": "main"}, triggered=True))
    for own in ({}, {"dynamicSubstitutions": False}):
        sent = merged({**file.build, "options": own}, {}, triggered=True)
        assert sent["options"] == {"substitutionOption": "ALLOW_LOOSE", "dynamicSubstitutions": True}


def test_lines_and_values() -> None:
    file = read("FILE", b"steps:\n- &a\n  name: x\n\n- <<: *a\n  id: two\n")
    assert file.build == {"steps": [{"name": "x"}, {"name": "x", "id": "two"}]}
    assert [file.line(path) for path in [("steps",), ("steps", 0, "name"), ("steps", 1, "id")]] == [1, 3, 6]
    assert file.line(("steps", 1, "nothing", 3)) == file.line(("steps", 1)) == 5


def test_a_byte_order_mark_and_carriage_returns_are_fine() -> None:
    file: BuildFile = read("FILE", b"\xef\xbb\xbfsteps:\r\n- name: x\r\n")
    assert file.build == {"steps": [{"name": "x"}]}


def test_deep_nesting_is_no_crash() -> None:
    assert problems("FILE", b"steps: " + b"[" * 5000 + b"]" * 5000) == [
        "FILE:1: lists and mappings are nested too deeply"
    ]


def test_a_fault_of_the_command_lines_account_names_no_line() -> None:
    file = read("FILE", b"steps:\n- name: bash\n  script: x\noptions: {logging: NONE}\n")
    given = BuildFile("FILE", {**file.build, "serviceAccount": "notebook-builder"}, file.lines)
    (found,) = faults(given, {}, own_account=True)
    assert str(found).startswith("--service-account: invalid value for 'build.service_account'")
