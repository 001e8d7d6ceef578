"""Calls of the docker client end with localcloud, and in time. A shell script stands in for the client."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from localcloud.engines.build import RunnerError
from localcloud.engines.build_docker import cli, guard
from localcloud.engines.supervisor import OwnedProcess
from tests.polling import alive, eventually

ROOT = Path(__file__).resolve().parents[3]
HANGS = 'echo $$ > "$0.tmp"; mv "$0.tmp" "$0.pid"; exec sleep 600'


def client(folder: Path, script: str) -> cli.Docker:
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return cli.Docker(str(program))


def test_input_variables_and_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = client(tmp_path, 'cat; echo " $1 $EXTRA $OWN"')
    monkeypatch.setenv("OWN", "kept")
    assert docker.call("load", send=b"sent", variables={"EXTRA": "more"}) == b"sent load more kept\n"
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(b"from a file")
        source.seek(0)
        assert docker.call("cp", send=source, receive=target) == b""
        target.seek(0)
        assert target.read().startswith(b"from a file cp")


def test_a_failure_is_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=r"^no such image$"):
        client(tmp_path, "echo first >&2; echo no such image >&2; exit 1").call("pull")
    with pytest.raises(RunnerError, match="docker pull exited with 3"):
        client(tmp_path, "exit 3").call("pull")


def test_what_cannot_be_called(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="cannot be called"):
        cli.Docker(str(tmp_path / "nothing")).call("ps")
    with pytest.raises(RunnerError, match="cannot be called: embedded null byte"):
        client(tmp_path, "true").call("a\0b")


def test_a_call_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_CALL_SECONDS", 0.5)
    docker, pid = client(tmp_path, HANGS), tmp_path / "docker.pid"
    wait = OwnedProcess.wait

    def wait_for_what_hangs(process: OwnedProcess, timeout: float | None = None) -> int:
        eventually(pid.exists)
        return wait(process, timeout)

    monkeypatch.setattr(OwnedProcess, "wait", wait_for_what_hangs)
    with pytest.raises(RunnerError, match=r"docker ps does not end within 0\.5 s"):
        docker.call("ps")
    assert not alive(int(pid.read_text()))


def test_a_call_ends_with_localcloud_even_if_it_is_killed(tmp_path: Path) -> None:
    docker = client(tmp_path, HANGS)
    code = (
        f"from localcloud.engines.build_docker.cli import Docker\nDocker({docker.program!r}).call('pull')\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)})
    with owner:
        eventually((tmp_path / "docker.pid").exists)
        owner.kill()
    call = int((tmp_path / "docker.pid").read_text())
    eventually(lambda: not alive(call))


def test_cleaning_after_a_kill_does_not_wait_for_an_engine_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "CALL_SECONDS", 0.2)
    monkeypatch.setattr(guard, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    docker = client(tmp_path, 'echo "$1" >> "$0.calls"; exec sleep 600')
    guard.main(docker.program, "localcloud.build=1")


def test_cleaning_removes_what_the_label_has(tmp_path: Path) -> None:
    docker = client(tmp_path, 'echo "$@" >> "$0.calls"; [ "$1" != ps ] || echo id')
    guard.clean(docker.program, "localcloud.build=1")
    calls = (tmp_path / "docker.calls").read_text().splitlines()
    assert calls[:2] == ["ps --all --quiet --filter label=localcloud.build=1", "rm --force --volumes id"]
