"""Untrusted archives: only members inside the folder are written."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from localcloud.core.archives import UnsafeMember, unpack

ROOT = Path(__file__).resolve().parents[2]
# Pythons of this machine, Debian's among them; the oldest that the project supports is 3.11.
PYTHONS = sorted({sys.executable, *(p for p in ("/usr/bin/python3",) if Path(p).exists())})
Member = tuple[str, str, str]


def packed(*members: Member | tuple[str, str, str, int]) -> io.BytesIO:
    """A tar file of (kind, name, content or link's target, mode)."""
    kinds = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
    kinds |= {"hard": tarfile.LNKTYPE, "pipe": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for kind, name, text, *mode in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mtime, entry.mode = kinds[kind], 1_000_000_000, mode[0] if mode else 0o644
            content = text.encode() if kind == "file" else b""
            entry.size = len(content)
            entry.linkname = "" if kind == "file" else text
            archive.addfile(entry, io.BytesIO(content))
    file.seek(0)
    return file


def made(*members: Member | tuple[str, str, str, int]) -> tarfile.TarFile:
    """The tar file, opened."""
    return tarfile.open(fileobj=packed(*members))


def test_files_folders_and_links_are_written(tmp_path: Path) -> None:
    target = tmp_path / "t"
    unpack(
        made(
            ("folder", "./", ""),
            ("folder", "empty", ""),
            ("file", "a/run.sh", "run", 0o4700),
            ("file", "a/b.txt", "b", 0o600),
            ("link", "a/up", "../a/b.txt"),
            ("hard", "same", "a/b.txt"),
            ("file", "/from/root", "r"),
        ),
        target,
    )
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == [
        "a", "a/b.txt", "a/run.sh", "a/up", "empty", "from", "from/root", "same"
    ]  # fmt: skip
    assert [(target / name).read_text() for name in ("a/run.sh", "a/up", "same", "from/root")] == [
        "run",
        "b",
        "b",
        "r",
    ]
    about = (target / "a/run.sh").stat()
    assert (about.st_mode & 0o7777, about.st_mtime) == (0o755, 1_000_000_000)
    assert (target / "a/b.txt").stat().st_mode & 0o7777 == 0o644


def test_a_later_member_replaces_an_earlier_one_and_writes_through_no_link(tmp_path: Path) -> None:
    unpack(made(("file", "a", "1"), ("link", "b", "a"), ("file", "b", "2")), tmp_path / "t")
    assert ((tmp_path / "t/a").read_text(), (tmp_path / "t/b").read_text()) == ("1", "2")


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([("file", "../out", "x")], id="above"),
        pytest.param([("file", "a/../../out", "x")], id="above-by-detour"),
        pytest.param([("folder", "a/../..", "")], id="folder-above"),
        pytest.param([("link", "l", "/etc")], id="link-from-root"),
        pytest.param([("link", "a/l", "../../out")], id="link-above"),
        pytest.param([("hard", "h", "../secret")], id="hard-link"),
        pytest.param([("pipe", "p", "")], id="pipe"),
        pytest.param([("device", "d", "")], id="device"),
        # Each link is harmless when it is made; the second is not once the first is there.
        pytest.param(
            [("link", "x", "a/b/../.."), ("folder", "a", ""), ("link", "a/b", ".."), ("file", "x/out", "x")],
            id="links-in-turn",
        ),
    ],
)
def test_members_that_lead_out_are_refused(tmp_path: Path, members: list[Member]) -> None:
    (tmp_path / "secret").write_text("s")
    with pytest.raises(UnsafeMember):
        unpack(made(*members), tmp_path / "deep" / "one")
    outside = {path.name for path in [*tmp_path.iterdir(), *(tmp_path / "deep").iterdir()]}
    assert outside == {"secret", "deep", "one"}


def test_a_loop_of_links_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "t"
    unpack(made(("link", "a", "a"), ("link", "c", "a"), ("file", "b", "b")), target)
    assert {name: (target / name).readlink() for name in ("a", "c")} == {"a": Path("a"), "c": Path("a")}
    with pytest.raises(UnsafeMember):
        unpack(made(("link", "a", "a"), ("link", "d", "a/../../x")), tmp_path / "u")


def test_a_time_that_no_file_can_have_is_no_failure(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("a")
        entry.mtime = 1e300
        archive.addfile(entry)
    file.seek(0)
    with tarfile.open(fileobj=file) as archive:
        unpack(archive, tmp_path)
    assert (tmp_path / "a").is_file()


@pytest.mark.parametrize("python", PYTHONS, ids=[f"python{n}" for n, _ in enumerate(PYTHONS)])
def test_every_python_of_this_machine_unpacks_it(tmp_path: Path, python: str) -> None:
    (tmp_path / "s.tar").write_bytes(packed(("file", "a/run.sh", "run", 0o755), ("link", "l", "a")).read())
    code = (
        f"import sys, tarfile, pathlib; sys.path.insert(0, {str(ROOT)!r}); from localcloud.core import archives;"
        f"archives.unpack(tarfile.open('s.tar'), pathlib.Path('t'))"
    )
    subprocess.run([python, "-I", "-c", code], cwd=tmp_path, check=True, env=dict(os.environ))
    assert (tmp_path / "t/l/run.sh").read_text() == "run"


def test_an_archive_that_would_fill_the_disk_ends_early(tmp_path: Path) -> None:
    """Zeros are packed to a thousandth of their size, and holes to nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("localcloud.core.archives.MAX_BYTES", 20)
        with pytest.raises(UnsafeMember, match="the archive has more than"):
            unpack(made(("file", "a", "x" * 15), ("file", "b", "y" * 15)), tmp_path)
        patch.setattr("localcloud.core.archives.MAX_MEMBERS", 1)
        with pytest.raises(UnsafeMember, match="at 'b'"):
            unpack(made(("folder", "a", ""), ("folder", "b", "")), tmp_path / "members")
    assert (tmp_path / "a").is_file()
    assert not (tmp_path / "b").exists()
