"""Planning many notebooks: what they share is read once, and equal sets of files are one value."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from builder.plan.packing import StagedFile
from builder.plan.workspace import Workspace
from tests.unit.git_repo import repository, write
from tests.unit.test_workspace import wanted

NOTEBOOKS = [f"nbs/{letter}.ipynb" for letter in "abcdefgh"]
DATA = ["nbs/lib.py", "nbs/data/rides.csv"]


def sets(workspace: Workspace, notebooks: list[str], *include: str) -> list[tuple[StagedFile, ...]]:
    return [workspace.files_for(path, include or None).files for path in notebooks]


@pytest.mark.parametrize("make", [repository, write], ids=["git", "no git"])
def test_notebooks_of_one_folder_share_one_tuple(tmp_path: Path, make: Any) -> None:
    make(tmp_path, *NOTEBOOKS, *DATA, "other.py")
    found = sets(Workspace(tmp_path), NOTEBOOKS)
    assert [file.path for file in found[0]] == sorted([*NOTEBOOKS, *DATA])
    assert all(files is found[0] for files in found)


def test_globs_that_find_the_same_files_lead_to_one_tuple(tmp_path: Path) -> None:
    repository(tmp_path, *NOTEBOOKS, *DATA, "lib/one.py")
    workspace = Workspace(tmp_path)
    first = workspace.files_for(NOTEBOOKS[0], ["lib"]).files
    assert workspace.files_for(NOTEBOOKS[1], ["lib/*.py"]).files is first
    assert workspace.files_for(NOTEBOOKS[2]).files is not first
    assert workspace.files_for(NOTEBOOKS[0], ["lib"]).files is first


def test_untracked_notebooks_share_all_but_themselves(tmp_path: Path) -> None:
    repository(tmp_path, *DATA)
    write(tmp_path, *NOTEBOOKS)
    workspace = Workspace(tmp_path)
    for path in NOTEBOOKS:
        collected = workspace.files_for(path)
        assert [file.path for file in collected.files] == sorted([path, *DATA])
        assert collected.warnings == (f"{path} is not tracked by git; it is staged all the same",)


def test_a_mistake_is_reported_for_each_notebook_that_has_it(tmp_path: Path) -> None:
    repository(tmp_path, *NOTEBOOKS)
    workspace = Workspace(tmp_path)
    for path in NOTEBOOKS:
        (problem,) = workspace.files_for(path, ["none/*.csv"]).problems
        assert problem.variable == "NB_INCLUDE"


@pytest.mark.parametrize("make", [repository, write], ids=["git", "no git"])
def test_the_status_of_a_file_is_read_once(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, *NOTEBOOKS, *DATA, "nbs/inner/z.ipynb", "lib/one.py")
    read: Counter[str] = Counter()
    real_stat = Path.stat

    def counting(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.is_absolute() and path.suffix in {".py", ".csv"}:
            read[path.name] += 1
        return real_stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", counting)
    found = sets(Workspace(tmp_path), [*NOTEBOOKS, "nbs/inner/z.ipynb"], "lib")
    assert "lib/one.py" in [file.path for file in found[-1]]
    assert read == {"lib.py": 1, "rides.csv": 1, "one.py": 1}


def test_only_the_first_patterns_without_a_match_get_suggestions(tmp_path: Path) -> None:
    write(tmp_path, "rides.ipynb", "stations.ipynb")
    wrong = [wanted(f"ridse{number}.ipynb") for number in range(30)]
    told = [problem.expected for problem in Workspace(tmp_path).select(wrong).problems]
    assert sum("did you mean rides.ipynb?" in text for text in told) == 20
    assert told[-1] == "matches no notebook in the workspace; there are 2 notebooks here"


@pytest.mark.parametrize("make", [repository, write], ids=["git", "no git"])
def test_pointers_of_git_lfs_are_named(tmp_path: Path, make: Any) -> None:
    make(tmp_path, *NOTEBOOKS, *DATA, "nbs/model.bin", "nbs/small.txt", "other/weights.bin")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 12345\n"
    for name in ("nbs/data/rides.csv", "nbs/model.bin", "other/weights.bin"):
        (tmp_path / name).write_text(pointer)
    workspace = Workspace(tmp_path)
    (warning,) = workspace.files_for(NOTEBOOKS[0]).warnings
    assert warning.startswith(
        "Git LFS pointers are staged in place of files: nbs/data/rides.csv, nbs/model.bin; run"
    )
    (more,) = workspace.files_for(NOTEBOOKS[0], ["other"]).warnings
    assert "other/weights.bin" in more
