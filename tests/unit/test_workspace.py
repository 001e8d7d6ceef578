"""Tests the notebooks that a pattern matches, and the files that are staged with them or never."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import BadInput
from builder.options import JobOptions, NotebookEntry
from builder.plan import staged_files, workspace
from builder.plan.packing import StagedFile, pack
from builder.plan.staged_files import Collected
from builder.plan.workspace import Workspace
from tests.unit.git_repo import git, repository, write


def wanted(pattern: str, origin: str = "NB_NOTEBOOKS") -> NotebookEntry:
    return NotebookEntry(pattern, origin, JobOptions(zones=("us-central1",), vm_service_account="vm@p"))


def found(root: Path, *patterns: str) -> list[str]:
    selection = Workspace(root).select([wanted(pattern) for pattern in patterns])
    assert selection.problems == ()
    return [path for path, _ in selection.notebooks]


def refused(root: Path, pattern: str) -> str:
    selection = Workspace(root).select([wanted(pattern)])
    assert selection.notebooks == ()
    (problem,) = selection.problems
    assert (problem.variable, problem.value) == ("NB_NOTEBOOKS", pattern)
    return problem.expected


def staged(root: Path, notebook: str, *include: str) -> Collected:
    workspace = Workspace(root)
    workspace.select([])
    return workspace.files_for(notebook, include or None)


def names(collected: Collected) -> list[str]:
    assert collected.problems == ()
    return [file.path for file in collected.files]


# --- which notebooks


def test_paths_and_globs_find_notebooks_once_and_sorted(tmp_path: Path) -> None:
    write(tmp_path, "z.ipynb", "b/two.ipynb", "b/c/three.ipynb", "b/c/three.py", "ä ö/ü.ipynb")
    assert found(tmp_path, "z.ipynb") == ["z.ipynb"]
    assert found(tmp_path, "./b//two.ipynb") == ["b/two.ipynb"]
    assert found(tmp_path, "*.ipynb") == ["z.ipynb"]
    assert found(tmp_path, "b/*", "b/*.ipynb", "b/two.ipynb") == ["b/two.ipynb"]
    assert found(tmp_path, "**/*.ipynb") == ["b/c/three.ipynb", "b/two.ipynb", "z.ipynb", "ä ö/ü.ipynb"]
    assert found(tmp_path, "ä ö/*.ipynb") == ["ä ö/ü.ipynb"]


def test_globs_ignore_the_caches_of_tools(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.ipynb",
        ".ipynb_checkpoints/a-checkpoint.ipynb",
        "outputs/a.ipynb",
        "b/outputs/a.ipynb",
        ".hidden/a.ipynb",
        "env/pyvenv.cfg",
        "env/share/a.ipynb",
        "conda/conda-meta/history",
        "conda/a.ipynb",
    )
    assert found(tmp_path, "**/*.ipynb") == ["a.ipynb"]
    assert found(tmp_path, "outputs/a.ipynb") == ["outputs/a.ipynb"]


def test_a_name_with_glob_characters_is_a_name_first(tmp_path: Path) -> None:
    write(tmp_path, "a[1].ipynb", "a1.ipynb")
    assert found(tmp_path, "a[1].ipynb") == ["a[1].ipynb"]


def test_an_entry_that_names_a_notebook_goes_before_a_glob(tmp_path: Path) -> None:
    write(tmp_path, "a.ipynb", "b.ipynb")
    entries = [wanted("*.ipynb", "glob"), wanted("a.ipynb", "name"), wanted("a.ipynb", "again")]
    selection = Workspace(tmp_path).select(entries)
    assert [(path, entry.origin) for path, entry in selection.notebooks] == [
        ("a.ipynb", "name"),
        ("b.ipynb", "glob"),
    ]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("../out.ipynb", "leads up"),
        ("a/../../out.ipynb", "leads up"),
        ("a/..", "leads up"),
        ("..", "leads up"),
        ("/etc/passwd", "absolute"),
        ("//etc/passwd", "absolute"),
        ("~/a.ipynb", "absolute"),
        pytest.param("", "empty", id="empty"),
        ("  ", "empty"),
        pytest.param("a\0.ipynb", "control", id="null byte"),
        pytest.param("a\n.ipynb", "control", id="line feed"),
        pytest.param("a\x1b[31m.ipynb", "control", id="escape sequence"),
        pytest.param(
            os.fsdecode(b"caf\xe9.ipynb"), "control character, or one that is not UTF-8", id="not UTF-8"
        ),
        pytest.param("a", "is a folder; for the notebooks in it write a/*.ipynb", id="folder with notebooks"),
        (".", "is a folder"),
        ("readme.md", "is no notebook"),
        pytest.param(
            "*.md",
            "matches no notebook in the workspace; there are 2 notebooks here",
            id="glob without a match",
        ),
        ("ridse.ipynb", "did you mean rides.ipynb?"),
        ("elsewhere/deep.ipynb", "did you mean a/deep.ipynb?"),
        ("link-out.ipynb", "leads out of the workspace"),
        ("folder-out/out.ipynb", "leads out of the workspace"),
        ("dangling.ipynb", "leads nowhere"),
        ("loop.ipynb", "leads nowhere"),
        ("pipe.ipynb", "no regular file"),
    ],
)
def test_an_unusable_notebook_path_is_refused(tmp_path: Path, pattern: str, told: str) -> None:
    root = tmp_path / "root"
    write(tmp_path, "out.ipynb", "root/rides.ipynb", "root/a/deep.ipynb", "root/readme.md")
    (root / "link-out.ipynb").symlink_to(tmp_path / "out.ipynb")
    (root / "folder-out").symlink_to("..")
    (root / "dangling.ipynb").symlink_to("nowhere")
    (root / "loop.ipynb").symlink_to("loop.ipynb")
    os.mkfifo(root / "pipe.ipynb")
    for name in ("link-out", "dangling", "loop", "pipe"):
        if not pattern.startswith(name):
            (root / f"{name}.ipynb").unlink()
    assert told in refused(root, pattern)


def test_every_bad_pattern_is_reported(tmp_path: Path) -> None:
    selection = Workspace(tmp_path).select([wanted("a.ipynb"), wanted("../b.ipynb")])
    assert len(selection.problems) == 2
    assert "there is no notebook here" in selection.problems[0].expected


def test_a_decomposed_name_is_refused(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "ü.ipynb")
    write(tmp_path, name)
    for pattern in (name, "ü.ipynb", "*.ipynb"):
        assert "decomposed" in refused(tmp_path, pattern)


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    write(tmp_path, "real/a.ipynb", content="bytes")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "b.ipynb").symlink_to("real/a.ipynb")
    assert found(tmp_path, "folder/a.ipynb", "real/a.ipynb", "b.ipynb") == ["b.ipynb", "real/a.ipynb"]
    assert Workspace(tmp_path).read("b.ipynb") == b"bytes"


def test_from_a_subfolder_paths_count_from_the_repository(tmp_path: Path) -> None:
    repository(tmp_path, "nbs/a.ipynb", "nbs/lib.py", "data/rides.csv")
    workspace = Workspace(tmp_path / "nbs")
    ((path, _),) = workspace.select([wanted("*.ipynb")]).notebooks
    assert path == "nbs/a.ipynb"
    assert workspace.local_path(path) == "a.ipynb"
    assert workspace.read(path) == b"x"
    assert names(workspace.files_for(path, ["data/*"])) == ["data/rides.csv", "nbs/a.ipynb", "nbs/lib.py"]


def test_a_notebook_that_cannot_be_read_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        Workspace(tmp_path).read("gone.ipynb")


def test_a_broken_index_is_bad_input(tmp_path: Path) -> None:
    repository(tmp_path, "a.ipynb")
    (tmp_path / ".git" / "index").write_bytes(b"DIRC")
    with pytest.raises(BadInput, match="index cannot be read"):
        Workspace(tmp_path).select([wanted("a.ipynb")])


# --- which files


def test_the_notebooks_folder_as_git_tracks_it(tmp_path: Path) -> None:
    repository(tmp_path, "nb/a.ipynb", "nb/lib.py", "nb/data/ä.csv", "other/b.py", "top.py")
    write(tmp_path, "nb/scratch.csv", "nb/__pycache__/lib.pyc")
    collected = staged(tmp_path, "nb/a.ipynb")
    assert names(collected) == ["nb/a.ipynb", "nb/data/ä.csv", "nb/lib.py"]
    assert collected.warnings == ()
    assert sum(file.size for file in collected.files) == 3


def test_content_comes_from_the_working_tree(tmp_path: Path) -> None:
    repository(tmp_path, "a.ipynb", "lib.py")
    write(tmp_path, "lib.py", content="edited")
    (tmp_path / "lib.py").chmod(0o755)
    by_name = {file.path: file for file in staged(tmp_path, "a.ipynb").files}
    assert by_name["lib.py"] == StagedFile("lib.py", tmp_path / "lib.py", 6, executable=True)
    assert not by_name["a.ipynb"].executable


def test_committed_outputs_are_never_staged(tmp_path: Path) -> None:
    repository(tmp_path, "nb/a.ipynb", "nb/outputs/rides.csv", "nb/sub/outputs/kept.csv", "nb/outputs.csv")
    assert names(staged(tmp_path, "nb/a.ipynb")) == [
        "nb/a.ipynb",
        "nb/outputs.csv",
        "nb/sub/outputs/kept.csv",
    ]
    told = staged(tmp_path, "nb/a.ipynb", "nb/outputs/**").problems
    assert "matches only files in nb/outputs/" in told[0].expected


def test_an_untracked_notebook_is_staged_with_a_warning(tmp_path: Path) -> None:
    repository(tmp_path, "lib.py")
    write(tmp_path, "new.ipynb")
    collected = staged(tmp_path, "new.ipynb")
    assert names(collected) == ["lib.py", "new.ipynb"]
    assert collected.warnings == ("new.ipynb is not tracked by git; it is staged all the same",)


def test_without_git_everything_but_litter(tmp_path: Path) -> None:
    write(
        tmp_path,
        "nb/a.ipynb",
        "nb/.env",
        "nb/data/x.csv",
        "nb/outputs/old.csv",
        "nb/.ipynb_checkpoints/a.ipynb",
        "nb/__pycache__/x.pyc",
        "nb/.svn/entries",
        "nb/.venv/pyvenv.cfg",
        "nb/.venv/lib/x.py",
        "other.py",
    )
    assert names(staged(tmp_path, "nb/a.ipynb")) == ["nb/.env", "nb/a.ipynb", "nb/data/x.csv"]


def test_included_globs_add_files_tracked_or_not(tmp_path: Path) -> None:
    repository(tmp_path, "nb/a.ipynb", "lib/x.py", "lib/deep/y.py", "lib/z.txt")
    write(tmp_path, "built/model.bin")
    assert names(staged(tmp_path, "nb/a.ipynb", "lib/**/*.py", "built/*", "lib/z.txt")) == [
        "built/model.bin",
        "lib/deep/y.py",
        "lib/x.py",
        "lib/z.txt",
        "nb/a.ipynb",
    ]
    assert names(staged(tmp_path, "nb/a.ipynb", "lib")) == [
        "lib/deep/y.py",
        "lib/x.py",
        "lib/z.txt",
        "nb/a.ipynb",
    ]


@pytest.mark.parametrize(
    "pattern",
    ["nope/*", "*.nope", "../x", "/etc/*", "~", "", "lib/../../x", ".git/config"],
    ids=[
        "folder without a match",
        "ending without a match",
        "leads up",
        "absolute",
        "home",
        "empty",
        "leads up within",
        "git's own files",
    ],
)
def test_an_include_without_a_match_or_outside_is_refused(tmp_path: Path, pattern: str) -> None:
    repository(tmp_path, "nb/a.ipynb")
    (problem,) = staged(tmp_path, "nb/a.ipynb", pattern).problems
    assert (problem.variable, problem.value) == ("NB_INCLUDE", pattern)


def test_submodules_and_files_gone_are_left_out_and_said(tmp_path: Path) -> None:
    inner = repository(tmp_path / "inner", "lib.py")
    git(inner, "commit", "-qm", "x")
    outer = repository(tmp_path / "outer", "a.ipynb", *(f"gone{number}.csv" for number in range(7)))
    git(outer, "submodule", "--quiet", "add", str(inner), "sub")
    for number in range(7):
        (outer / f"gone{number}.csv").unlink()
    collected = staged(outer, "a.ipynb")
    assert names(collected) == [".gitmodules", "a.ipynb"]
    assert len(collected.warnings) == 2
    assert "sub is a submodule" in collected.warnings[0]
    assert collected.warnings[1].endswith("gone0.csv, gone1.csv, gone2.csv, gone3.csv, gone4.csv, …")


def test_links_within_the_workspace_become_files(tmp_path: Path) -> None:
    repository(tmp_path, "nb/a.ipynb", "shared/lib.py", "shared/deep/x.py")
    (tmp_path / "nb" / "lib.py").symlink_to("../shared/lib.py")
    (tmp_path / "nb" / "shared").symlink_to("../shared")
    (tmp_path / "nb" / "dangling").symlink_to("nowhere")
    git(tmp_path, "add", "--all")
    collected = staged(tmp_path, "nb/a.ipynb")
    assert names(collected) == ["nb/a.ipynb", "nb/lib.py", "nb/shared/deep/x.py", "nb/shared/lib.py"]
    assert collected.warnings == ("nb/dangling is a symbolic link that leads nowhere and is not staged",)
    assert all(not file.source.is_symlink() for file in collected.files)


def test_a_linked_folder_gives_what_git_tracks_there(tmp_path: Path) -> None:
    """Files that git ignores can hold secrets, and they belong to no commit."""
    repository(tmp_path, "nb/a.ipynb", "data/d.csv")
    (tmp_path / "nb" / "data").symlink_to("../data")
    (tmp_path / "nb" / "made").symlink_to("../made")
    git(tmp_path, "add", "--all")
    write(tmp_path, "data/.env", "made/x.csv")
    collected = staged(tmp_path, "nb/a.ipynb")
    assert names(collected) == ["nb/a.ipynb", "nb/data/d.csv"]
    (warning,) = collected.warnings
    assert warning.startswith("nb/made is a symbolic link to a folder of which git tracks nothing")
    assert "nb/made/x.csv" in names(staged(tmp_path, "nb/a.ipynb", "nb/**"))


def test_a_notebook_in_a_submodule_is_refused_unless_its_files_are_named(tmp_path: Path) -> None:
    inner = repository(tmp_path / "inner", "s.ipynb", "helper.py")
    git(inner, "commit", "-qm", "x")
    outer = repository(tmp_path / "outer", "a.ipynb")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "sub")
    (problem,) = staged(outer, "sub/s.ipynb").problems
    assert problem.expected.startswith("lies in the submodule sub, whose files are not staged")
    named = staged(outer, "sub/s.ipynb", "sub/**")
    assert named.problems == ()
    assert {"sub/helper.py", "sub/s.ipynb"} <= set(names(named))


def test_folders_that_link_to_one_another_are_refused_in_one_sentence(tmp_path: Path) -> None:
    """Their paths are as many as the orders of the folders."""
    folders = [f"p{number}" for number in range(9)]
    write(tmp_path, "a.ipynb")
    for name in folders:
        (tmp_path / name / "deps").mkdir(parents=True)
        for other in folders:
            if other != name:
                (tmp_path / name / "deps" / other).symlink_to(f"../../{other}")
    (problem,) = staged(tmp_path, "a.ipynb").problems
    assert problem.expected == "is a symbolic link to a folder that contains it"


def test_links_that_double_the_files_end_at_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_files, "_MAX_THROUGH_LINKS", 100)
    write(tmp_path, "a.ipynb", "p12/f")
    for number in range(12):
        (tmp_path / f"p{number}").mkdir()
        for name in ("one", "two"):
            (tmp_path / f"p{number}" / name).symlink_to(f"../p{number + 1}")
    (problem,) = staged(tmp_path, "a.ipynb").problems
    assert problem.expected == "is a symbolic link; with its files, more than 100 would be staged"


def test_each_file_of_a_glob_that_may_not_run_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.ipynb", "odd\n.ipynb")
    (tmp_path / "dangling.ipynb").symlink_to("nowhere")
    (problem,) = Workspace(tmp_path).select([wanted("*.ipynb")]).problems
    assert problem.expected == (
        "finds dangling.ipynb, which is a symbolic link that leads nowhere; "
        r"finds odd\n.ipynb, which has a control character in its name; rename it"
    )


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a folder of another user is; this test may run as root, who reads all of them."""
    write(tmp_path, "a.ipynb")

    def refuse(*_: object, **__: object) -> Iterator[str]:
        yield "a.ipynb"
        raise PermissionError(13, "Permission denied", str(tmp_path / "database"))

    monkeypatch.setattr(workspace, "walk", refuse)
    (problem,) = Workspace(tmp_path).select([wanted("*.ipynb")]).problems
    assert problem.expected == f"cannot be looked for: {tmp_path}/database cannot be read: Permission denied"


@pytest.mark.parametrize("target", ["/etc/hostname", "../../secret", "..", ".", "../.git/config", "../nb"])
def test_links_that_lead_out_or_round_are_refused(tmp_path: Path, target: str) -> None:
    root = repository(tmp_path / "root", "nb/a.ipynb")
    write(tmp_path, "secret")
    (root / "nb" / "link").symlink_to(target)
    git(root, "add", "--all")
    (problem,) = staged(root, "nb/a.ipynb").problems
    assert problem.variable == "nb/link"
    assert "symbolic link" in problem.expected


def test_links_that_lead_round_each_other_are_refused(tmp_path: Path) -> None:
    root = repository(tmp_path / "root", "nb/a.ipynb", "x/f", "y/f")
    (root / "x" / "to-y").symlink_to("../y")
    (root / "y" / "to-x").symlink_to("../x")
    (root / "nb" / "link").symlink_to("../x")
    git(root, "add", "--all")
    assert staged(root, "nb/a.ipynb").problems != ()


def test_pipes_and_names_that_are_not_utf_8(tmp_path: Path) -> None:
    write(tmp_path, "a.ipynb")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"caf\xe9.csv")).touch()
    collected = staged(tmp_path, "a.ipynb")
    assert collected.warnings == ("pipe is neither a file nor a link and is not staged",)
    (problem,) = collected.problems
    assert str(problem) == r"caf\xe9.csv: has a name that is not UTF-8; rename it"


def test_too_much_is_refused_with_the_largest_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_files, "MAX_WORKSPACE_BYTES", 3 * 2**20)
    write(tmp_path, "a.ipynb", "small.csv")
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(4 * 2**20)
    (problem,) = staged(tmp_path, "a.ipynb").problems
    assert "4 MiB would be staged with it, more than 3" in problem.expected
    assert "Largest: big.bin (4 MiB)" in problem.expected


# --- packing


def test_packing_is_reproducible_and_bare(tmp_path: Path) -> None:
    write(tmp_path, "tree/b.sh", "tree/ä ö/a.txt", "tree/" + "long" * 40 + ".txt", content="hello")
    (tmp_path / "tree" / "b.sh").chmod(0o700)
    files = staged(tmp_path / "tree", "b.sh").files
    first = pack(files, tmp_path / "one.tar.gz")
    for file in files:
        os.utime(file.source, (1, 1))
    second = pack(reversed(files), tmp_path / "two.tar.gz")
    content = first.path.read_bytes()
    assert content == second.path.read_bytes()
    assert (first.sha256, first.size) == (hashlib.sha256(content).hexdigest(), len(content))
    with tarfile.open(first.path) as archive:
        members = archive.getmembers()
        assert [(member.name, oct(member.mode)) for member in members] == [
            ("b.sh", "0o755"),
            ("long" * 40 + ".txt", "0o644"),
            ("ä ö/a.txt", "0o644"),
        ]
        assert {(member.uid, member.gid, member.uname, member.mtime) for member in members} == {(0, 0, "", 0)}
        extracted = archive.extractfile("ä ö/a.txt")
        assert extracted is not None
        assert extracted.read() == b"hello"
    assert gzip.decompress(content)


def test_a_file_that_vanishes_before_packing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.csv: cannot be packed: No such file"):
        pack([StagedFile("gone.csv", tmp_path / "gone.csv", 1, executable=False)], tmp_path / "x.tar.gz")
