"""The submitted files: ignore rules (the table agrees with `gcloud meta list-files-for-upload`) and the archive."""

import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from localcloud.cli.submit.ignoring import BadIgnoreFileError, rules
from localcloud.cli.submit.packing import choose, pack

TREE = (
    ".git/config",
    ".gitignore",
    "a.log",
    "docs/b.log",
    "docs/keep.log",
    "docs/old/c.txt",
    "src/docs/d.txt",
    "src/main.py",
    "#odd",
    "with space ",
    "[x].py",
)
ALWAYS = {".gcloudignore", *TREE}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / ".gitignore").write_text("*.log\n")
    return root


def files(root: Path) -> set[str]:
    return {path for path in choose(root, rules(root)).paths if not (root / path).is_dir()}


@pytest.mark.parametrize(
    ("lines", "left_out"),
    [
        ([], set()),
        (["# nothing", "", "   "], set()),
        ([".git"], {".git/config"}),
        (["*.log"], {"a.log", "docs/b.log", "docs/keep.log"}),
        (["*.log", "!keep.log"], {"a.log", "docs/b.log"}),
        (["!keep.log", "*.log"], {"a.log", "docs/b.log", "docs/keep.log"}),
        (["/a.log", "/b.log"], {"a.log"}),
        (["docs/"], {"docs/b.log", "docs/keep.log", "docs/old/c.txt", "src/docs/d.txt"}),
        (["a.log/"], set()),
        (["/docs"], {"docs/b.log", "docs/keep.log", "docs/old/c.txt"}),
        (["/docs", "!docs/keep.log"], {"docs/b.log", "docs/keep.log", "docs/old/c.txt"}),
        (["/docs/*", "!keep.log"], {"docs/b.log", "docs/old/c.txt"}),
        # Git would look for this at the root only; gcloud looks everywhere.
        (["docs/*.txt"], {"src/docs/d.txt"}),
        (["**/docs/*.txt"], {"src/docs/d.txt"}),
        (["docs/**/*.txt"], {"docs/old/c.txt"}),
        (["docs/**", "!docs/keep.log"], {"docs/b.log", "docs/keep.log", "docs/old/c.txt"}),
        (["/*", "!/src"], ALWAYS - {"src/docs/d.txt", "src/main.py"}),
        (["*", "!src"], ALWAYS - {"src/docs/d.txt", "src/main.py"}),
        (["\\#odd"], {"#odd"}),
        (["#odd"], set()),
        (["with space\\ "], {"with space "}),
        (["with space "], set()),
        (["[x].py"], set()),
        (["\\[x].py"], set()),
        (["[!a].log"], {"docs/b.log"}),
        (["[!b].log"], {"a.log"}),
        (["?.log"], {"a.log", "docs/b.log"}),
        (["#!include:.gitignore"], {"a.log", "docs/b.log", "docs/keep.log"}),
        (["# !include:.gitignore", "!a.log"], {"docs/b.log", "docs/keep.log"}),
    ],
    ids=lambda value: " ".join(sorted(value) if isinstance(value, set) else value),
)
def test_gcloudignore(folder: Path, lines: Sequence[str], left_out: set[str]) -> None:
    (folder / ".gcloudignore").write_text("".join(f"{line}\n" for line in lines))
    assert ALWAYS - files(folder) == left_out


def test_without_gcloudignore_gits_folder_and_ignored_files_are_left_out(folder: Path) -> None:
    everything = set(TREE)
    assert everything - files(folder) == {".git/config", ".gitignore", "a.log", "docs/b.log", "docs/keep.log"}
    (folder / ".gitignore").unlink()
    assert everything - files(folder) == {".git/config", ".gitignore"}
    (folder / ".git").rename(folder / "git")
    assert everything - files(folder) == {".git/config", ".gitignore"}
    assert "git/config" in files(folder)


@pytest.mark.parametrize(
    ("line", "words"),
    [("#!include:gone", "gone cannot be read"), ("#!include:src/main.py", "only files of the same folder")],
)
def test_a_bad_include(folder: Path, line: str, words: str) -> None:
    (folder / ".gcloudignore").write_text(line)
    with pytest.raises(BadIgnoreFileError, match=words):
        rules(folder)


def test_the_archive(tmp_path: Path) -> None:
    root = tmp_path / "folder"
    (root / "empty").mkdir(parents=True)
    (root / "tool").write_text("#!/bin/sh\n")
    (root / "tool").chmod(0o755)
    (root / "to-file").symlink_to("tool")
    (root / "to-folder").symlink_to("empty")
    (root / "to-nothing").symlink_to("gone")
    os.mkfifo(root / "pipe")
    source = choose(root, None)
    assert source.files == 4
    pack(source, tmp_path / "a.tgz")
    with tarfile.open(tmp_path / "a.tgz") as archive:
        members = {member.name: member for member in archive}
    assert sorted(members) == list(members) == ["empty", "to-file", "to-folder", "to-nothing", "tool"]
    assert members["empty"].isdir()
    assert members["tool"].mode & 0o111
    links = {name: member.linkname for name, member in members.items() if member.issym()}
    assert links == {"to-file": "tool", "to-folder": "empty", "to-nothing": "gone"}
    assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "root")}


def test_the_same_files_make_the_same_archive(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        pack(choose(folder, rules(folder)), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
