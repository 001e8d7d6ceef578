"""The inputs that `--commit` and `--branch` take from git: the files as committed, and a trigger's values."""

import os
from pathlib import Path

import pytest

from localcloud.cli.submit import git
from localcloud.cli.submit.git import GitError, Repository, substitutions
from tests.localcloud.submit.repo import Repo


def unpacked(folder: Path, target: Path, revision: str = "HEAD") -> Path:
    repository = Repository(folder)
    commit = repository.commit(revision, None)
    assert commit
    target.mkdir()
    repository.unpack(commit, target)
    return target


def test_the_files_are_those_of_the_commit(repo: Repo, tmp_path: Path) -> None:
    repo.write({"tool": "#!/bin/sh\n", "sub/kept": "committed", "sub/gone": "x"})
    (repo.folder / "tool").chmod(0o755)
    (repo.folder / "link").symlink_to("sub/kept")
    repo.commit()
    repo.write({"sub/kept": "changed", "sub/new": "not committed"})
    (repo.folder / "sub" / "gone").unlink()
    found = unpacked(repo.folder, tmp_path / "out")
    assert sorted(path.relative_to(found).as_posix() for path in found.rglob("*")) == [
        "link",
        "sub",
        "sub/gone",
        "sub/kept",
        "tool",
    ]
    assert (found / "sub" / "kept").read_text() == "committed"
    assert os.access(found / "tool", os.X_OK)
    assert not os.access(found / "sub" / "kept", os.X_OK)
    assert (found / "link").readlink() == Path("sub/kept")


def test_a_subfolder_is_unpacked_alone(repo: Repo, tmp_path: Path) -> None:
    repo.write({"a": "a", "sub/b": "b"})
    repo.commit()
    found = unpacked(repo.folder / "sub", tmp_path / "out")
    assert [path.name for path in found.rglob("*")] == ["b"]
    (repo.folder / "later").mkdir()
    with pytest.raises(GitError, match="has no folder later"):
        unpacked(repo.folder / "later", tmp_path / "later")


def test_no_attribute_changes_what_was_committed_and_no_filter_runs(repo: Repo, tmp_path: Path) -> None:
    repo.write({"f.txt": "$Format:%H$ $Id$\n", "left.txt": "x\n"})
    repo.write({".gitattributes": "*.txt export-subst ident eol=crlf filter=f\nleft.txt export-ignore\n"})
    repo.commit()
    ran = tmp_path / "ran"
    repo.git("config", "filter.f.smudge", f"touch {ran}; cat")
    repo.git("config", "core.fsmonitor", f"touch {ran}")
    found = unpacked(repo.folder, tmp_path / "out")
    assert (found / "f.txt").read_bytes() == b"$Format:%H$ $Id$\n"
    assert (found / "left.txt").exists()
    assert not ran.exists()


def test_variables_of_git_lead_nowhere_else(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = repo.commit()
    other = Repo(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    found = Repository(repo.folder).commit("HEAD", None)
    assert found
    assert found.sha == sha


def test_the_configuration_of_the_user_has_no_part(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit()
    (tmp_path / ".gitconfig").write_text("[broken")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Repository(repo.folder).commit("HEAD", None)


def test_branches_and_tags(repo: Repo) -> None:
    first = repo.commit()
    repo.git("tag", "v1")
    repo.git("branch", "old")
    second = repo.commit(a="b")
    repository = Repository(repo.folder)

    def told(revision: str | None, branch: str | None = None) -> tuple[str, str | None, str | None] | None:
        commit = repository.commit(revision, branch)
        return (commit.sha, commit.branch, commit.tag) if commit else None

    assert told("HEAD") == told(second) == told(None, "") == told(None, "main") == (second, "main", None)
    assert told("HEAD~1") == (first, None, None)
    assert told("old") == told(None, "old") == (first, "old", None)
    assert told("v1") == (first, None, "v1")
    assert told("v1", "") == (first, "main", None)
    assert told(first[:9], "feature") == (first, "feature", None)
    assert told(None, "feature") is None
    for wrong in ("nothing", "--all", "HEAD:a"):
        with pytest.raises(GitError, match="is no commit of"):
            told(wrong)
    repo.git("checkout", "--quiet", "--detach")
    assert told("HEAD") == (second, None, None)
    with pytest.raises(GitError, match="no branch is checked out"):
        told(None, "")


def test_a_folder_without_git(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="not a git repository"):
        Repository(tmp_path)


@pytest.mark.parametrize(
    ("remote", "names"),
    [
        pytest.param(None, ("repo", "repo"), id="no remote"),
        pytest.param("https://github.com/team/tools.git", ("tools", "team/tools"), id="HTTPS"),
        pytest.param("git@github.com:team/tools.git", ("tools", "team/tools"), id="SSH"),
        pytest.param("https://example.com/team/tools/", ("tools", "team/tools"), id="slash at the end"),
        pytest.param("../elsewhere/tools", ("tools", "tools"), id="path"),
    ],
)
def test_the_repository_s_name(repo: Repo, remote: str | None, names: tuple[str, str]) -> None:
    if remote:
        repo.git("remote", "add", "origin", remote)
    assert Repository(repo.folder).repository_names() == names


def test_the_substitutions_of_a_trigger(repo: Repo) -> None:
    sha = repo.commit()
    repository = Repository(repo.folder)
    assert substitutions(repository, repository.commit("HEAD", None), None, "ci/build.yaml") == {
        "REPO_NAME": "repo",
        "REPO_FULL_NAME": "repo",
        "TRIGGER_NAME": "localcloud-submit",
        "TRIGGER_BUILD_CONFIG_PATH": "ci/build.yaml",
        "COMMIT_SHA": sha,
        "REVISION_ID": sha,
        "SHORT_SHA": sha[:7],
        "BRANCH_NAME": "main",
        "REF_NAME": "main",
    }
    assert substitutions(repository, None, "feature", "c") == {
        "REPO_NAME": "repo",
        "REPO_FULL_NAME": "repo",
        "TRIGGER_NAME": "localcloud-submit",
        "TRIGGER_BUILD_CONFIG_PATH": "c",
        "BRANCH_NAME": "feature",
        "REF_NAME": "feature",
    }


def test_a_repository_of_another_user_is_read_if_the_users_configuration_trusts_it(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit(a="a")
    clean = git._environment()
    monkeypatch.setattr(git, "_environment", lambda: clean | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})
    settings = tmp_path / "gitconfig"
    settings.touch()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    git._trusted.cache_clear()
    with pytest.raises(GitError, match="dubious ownership"):
        Repository(repo.folder)
    settings.write_text(f"[safe]\n\tdirectory = {repo.folder}\n")
    git._trusted.cache_clear()
    assert (unpacked(repo.folder, tmp_path / "out") / "a").read_text() == "a"
    git._trusted.cache_clear()
