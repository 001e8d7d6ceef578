"""Git's index in all the forms in which a build may meet it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.plan.tracked import IndexUnreadable, find_tracked
from tests.unit.git_repo import git, repository, write

FILES = ("a.ipynb", "deep/b.txt", "deep/er/ü mlaut.txt")


def files(folder: Path) -> set[str]:
    tracked = find_tracked(folder)
    assert tracked is not None
    return set(tracked.files)


@pytest.mark.parametrize("options", [(), ("--object-format=sha256",)], ids=["sha1", "sha256"])
@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_every_kind_of_index(tmp_path: Path, version: str, options: tuple[str, ...]) -> None:
    repository(tmp_path, *FILES, options=options)
    write(tmp_path, "untracked.txt")
    write(tmp_path, "intended.txt")
    git(tmp_path, "add", "--intent-to-add", "intended.txt")
    git(tmp_path, "update-index", "--index-version", version)
    assert files(tmp_path) == {*FILES, "intended.txt"}


def test_the_repository_of_a_parent_folder(tmp_path: Path) -> None:
    repository(tmp_path, *FILES)
    tracked = find_tracked(tmp_path / "deep" / "er")
    assert tracked is not None
    assert (tracked.top, tracked.files) == (tmp_path, frozenset(FILES))


def test_a_parents_repository_that_tracks_nothing_here_is_not_ours(tmp_path: Path) -> None:
    repository(tmp_path, *FILES)
    write(tmp_path, "build/a.ipynb")
    assert find_tracked(tmp_path / "build") is None


def test_a_fresh_repository_tracks_nothing_yet(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert find_tracked(tmp_path) is None
    assert find_tracked(repository(tmp_path / "empty")) is None


def test_no_repository(tmp_path: Path) -> None:
    assert find_tracked(tmp_path) is None


def test_a_worktree(tmp_path: Path) -> None:
    main = repository(tmp_path / "main", *FILES)
    git(main, "commit", "-qm", "x")
    git(main, "worktree", "add", "-q", str(tmp_path / "tree"))
    assert (tmp_path / "tree" / ".git").is_file()
    assert files(tmp_path / "tree") == set(FILES)


def test_a_sha256_worktree(tmp_path: Path) -> None:
    main = repository(tmp_path / "main", *FILES, options=("--object-format=sha256",))
    git(main, "commit", "-qm", "x")
    git(main, "worktree", "add", "-q", str(tmp_path / "tree"))
    assert files(tmp_path / "tree") == set(FILES)


@pytest.mark.parametrize(
    "text", ["gitdir: ../gone/.git/modules/x\n", "nonsense", ""], ids=["missing folder", "nonsense", "empty"]
)
def test_a_git_file_that_leads_nowhere_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ".git").write_text(text)
    assert find_tracked(tmp_path) is None


def test_submodules_are_listed_apart_from_files(tmp_path: Path) -> None:
    inner = repository(tmp_path / "inner", "lib.py")
    git(inner, "commit", "-qm", "x")
    outer = repository(tmp_path / "outer", *FILES)
    git(outer, "submodule", "--quiet", "add", str(inner), "deep/sub")
    tracked = find_tracked(outer)
    assert tracked is not None
    assert tracked.submodules == {"deep/sub"}
    assert tracked.files == {*FILES, ".gitmodules"}
    assert files(outer / "deep" / "sub") == {"lib.py"}


def test_links_and_files_outside_a_sparse_checkout(tmp_path: Path) -> None:
    repository(tmp_path, *FILES)
    (tmp_path / "link").symlink_to("a.ipynb")
    git(tmp_path, "add", "link")
    git(tmp_path, "update-index", "--skip-worktree", "deep/b.txt")
    assert files(tmp_path) == {"a.ipynb", "link", "deep/er/ü mlaut.txt"}


def test_a_merge_conflict_is_still_tracked(tmp_path: Path) -> None:
    repository(tmp_path, "a.txt")
    git(tmp_path, "commit", "-qm", "x")
    for branch in ("one", "two"):
        git(tmp_path, "checkout", "-qb", branch, "HEAD" if branch == "one" else "one~1")
        write(tmp_path, "a.txt", content=branch)
        git(tmp_path, "commit", "-qam", branch)
    with pytest.raises(Exception, match="merge"):
        git(tmp_path, "merge", "one")
    assert files(tmp_path) == {"a.txt"}


def test_names_that_are_not_utf_8_keep_their_bytes(tmp_path: Path) -> None:
    repository(tmp_path)
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).touch()
    git(tmp_path, "add", "--all")
    assert files(tmp_path) == {os.fsdecode(b"caf\xe9.txt")}


def test_a_split_index_is_refused(tmp_path: Path) -> None:
    repository(tmp_path, *FILES)
    git(tmp_path, "update-index", "--split-index")
    write(tmp_path, "more.txt")
    git(tmp_path, "add", "more.txt")
    with pytest.raises(IndexUnreadable, match="--no-split-index"):
        find_tracked(tmp_path)


def test_a_sparse_index_is_refused(tmp_path: Path) -> None:
    repository(tmp_path, *FILES, "deep/one/x.txt", "other/two/y.txt")
    git(tmp_path, "commit", "-qm", "x")
    git(tmp_path, "sparse-checkout", "set", "--cone", "--sparse-index", "deep")
    with pytest.raises(IndexUnreadable, match="--no-sparse-index"):
        find_tracked(tmp_path)
    git(tmp_path, "sparse-checkout", "reapply", "--no-sparse-index")
    assert "deep/one/x.txt" in files(tmp_path)


def test_an_index_without_checksum(tmp_path: Path) -> None:
    repository(tmp_path, *FILES)
    git(tmp_path, "-c", "index.skipHash=true", "update-index", "--force-write-index")
    assert files(tmp_path) == set(FILES)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 400), junk=st.binary(min_size=1, max_size=8), cut=st.integers(0, 400))
def test_a_damaged_index_is_named_or_read_whole(tmp_path: Path, at: int, junk: bytes, cut: int) -> None:
    if not (tmp_path / ".git").exists():
        repository(tmp_path, *FILES)
        (tmp_path / "good").write_bytes((tmp_path / ".git" / "index").read_bytes())
    good = (tmp_path / "good").read_bytes()
    damaged = (good[:at] + junk + good[at + len(junk) :])[: len(good) - cut]
    (tmp_path / ".git" / "index").write_bytes(damaged)
    try:
        read = files(tmp_path)
    except IndexUnreadable as error:
        assert "index cannot be read" in str(error)  # noqa: PT017  (either outcome is fine, no other)
    else:
        assert read == set(FILES)
