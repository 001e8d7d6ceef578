"""The command line of submit."""

import argparse
from pathlib import Path

import pytest

from localcloud.submit.options import Options, add_arguments, options, substitutions


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", {}),
        ("_A=1", {"_A": "1"}),
        ("_A=1,_B=", {"_A": "1", "_B": ""}),
        ("_A=x=y", {"_A": "x=y"}),
        ("^;^_A=1,2;_B=3", {"_A": "1,2", "_B": "3"}),
        ("^||^_A=1|2||_B=3", {"_A": "1|2", "_B": "3"}),
        ("_A=two\nlines", {"_A": "two\nlines"}),
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
        ([], (None, None, ".")),
        (["src"], (None, None, "src")),
        (["--commit"], ("HEAD", None, ".")),
        (["--commit", "src"], ("HEAD", None, "src")),
        (["--commit", "v1", "src"], ("v1", None, "src")),
        (["--commit", "--branch", "src"], ("HEAD", "", "src")),
        (["--branch", "src", "."], (None, "src", ".")),
        (["--commit=v1", "--branch=main"], ("v1", "main", ".")),
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
        (["--tag", "gcr.io/p/i", "."], "builds without a build file"),
        (["--no-source", "--commit"], "--no-source does not go with"),
        (["/nowhere"], "/nowhere is no folder"),
    ],
)
def test_what_does_not_go_together(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
