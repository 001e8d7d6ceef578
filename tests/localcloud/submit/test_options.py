"""The command line of submit."""

import argparse
from pathlib import Path

import pytest

from localcloud.cli.submit.options import Options, add_arguments, options, substitutions


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        pytest.param("", {}, id="nothing"),
        pytest.param("_A=1", {"_A": "1"}, id="one"),
        pytest.param("_A=1,_B=", {"_A": "1", "_B": ""}, id="empty value"),
        pytest.param("_A=x=y", {"_A": "x=y"}, id="equals sign in a value"),
        pytest.param("^;^_A=1,2;_B=3", {"_A": "1,2", "_B": "3"}, id="other separator"),
        pytest.param("^||^_A=1|2||_B=3", {"_A": "1|2", "_B": "3"}, id="separator of two characters"),
        pytest.param("_A=two\nlines", {"_A": "two\nlines"}, id="line feed in a value"),
    ],
)
def test_substitutions(text: str, pairs: dict[str, str]) -> None:
    assert substitutions(text) == pairs


@pytest.mark.parametrize("text", ["_A", "_A=1,2", "=1", "_A=1,_A=2", "_A=1,"])
def test_bad_substitutions(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        substitutions(text)


def parsed(*arguments: str) -> Options:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return options(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("arguments", "due"),
    [
        pytest.param([], (None, None, "."), id="nothing"),
        pytest.param(["src"], (None, None, "src"), id="folder"),
        pytest.param(["--commit"], ("HEAD", None, "."), id="commit"),
        pytest.param(["--commit", "src"], ("HEAD", None, "src"), id="commit, folder"),
        pytest.param(["--commit", "v1", "src"], ("v1", None, "src"), id="commit with a value, folder"),
        pytest.param(["--commit", "--branch", "src"], ("HEAD", "", "src"), id="commit, branch, folder"),
        pytest.param(["--branch", "src", "."], (None, "src", "."), id="branch with a value, folder"),
        pytest.param(["--commit=v1", "--branch=main"], ("v1", "main", "."), id="values after equals signs"),
    ],
)
def test_a_folder_after_commit_or_branch_is_the_folder(
    arguments: list[str],
    due: tuple[str | None, str | None, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    found = parsed(*arguments)
    assert (found.commit, found.branch, found.folder) == (*due[:2], Path(due[2]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--no-source", "--commit"], "--no-source does not go with", id="no source and commit"),
        pytest.param(["/nowhere"], "/nowhere is no folder", id="no such folder"),
    ],
)
def test_conflicting_flags_are_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
