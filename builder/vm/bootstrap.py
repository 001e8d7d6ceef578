"""Boots a VM: fetches the kit, starts the runner, watches it, and finally ends the VM.

It arrives in the startup script and uses the standard library only. It writes below its own directory only, and prints
short lines that begin with `notebook-builder: ` to the serial port, without tokens and parameters. It ends the VM
even after an error.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

# The builder deletes the VM as soon as it has the evidence. After this time, the VM ends itself.
GRACE_SECONDS = 300.0
# A shutdown from inside cancels the server's own deletion and leaves a stopped VM, whose disk costs money. That is
# better than a VM that runs for long, and worse than one that the server deletes soon.
SHUTDOWN_MARGIN_SECONDS = 1800.0
METADATA_SECONDS = 120.0
# A VM that opens no connection to Cloud Storage within this time has no route to it, and reports that.
REACH_SECONDS = 60.0
CONNECT_SECONDS = 5.0
# After this time without the kit, the reason goes to the serial port, before the boot limit is reached.
QUIET_SECONDS = 15.0
# The time for the runner to save its results when the run limit is reached.
TERM_SECONDS = 20.0
MAX_RUNNER_LINES = 500
# The runner's exit status after the builder's lease has expired. builder/vm/protocol.py has the same constant.
ABANDONED = 75
RETRIED = {408, 429, 500, 502, 503, 504}
SERIAL_PORT = Path("/dev/ttyS0")
PRODUCT = Path("/sys/class/dmi/id/product_name")
CPYTHON = f"cp{sys.version_info[0]}{sys.version_info[1]}"
PR_SET_CHILD_SUBREAPER = 36

Json = dict[str, Any]
STARTED = time.monotonic()


class BootError(Exception):
    """The VM cannot start the job: `reason` is one word for the serial port, and the text explains it."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def report(text: str) -> None:
    """Print one line for the serial port. A closed output does not matter."""
    line = "notebook-builder: " + re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)[:500]
    with contextlib.suppress(OSError):
        print(line, flush=True)  # noqa: T201 - the guest agent logs standard output
    with contextlib.suppress(OSError):
        write_to_serial_port(line)


def write_to_serial_port(line: str) -> None:
    """Write a line to the VM's serial port, since newer guest agents do not forward output to it.

    Raises `OSError` without one.

    The firmware's name distinguishes a VM of Compute Engine from another computer, whose serial port must not be used.
    """
    if PRODUCT.read_text().startswith("Google"):
        # Non-blocking: a port that accepts nothing costs the line, never the job.
        port = os.open(SERIAL_PORT, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            os.write(port, f"{line}\n".encode())
        finally:
            os.close(port)


def request(url: str, headers: dict[str, str], method: str = "GET", content: bytes | None = None) -> BinaryIO:
    """Open `url` without any proxy. Raises `OSError` (an HTTPError is one) or `http.client.HTTPException`."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    # The URL comes from the builder's options, not from a notebook.
    asked = urllib.request.Request(url, content, headers, method=method)  # noqa: S310
    answer: BinaryIO = opener.open(asked, timeout=30)
    return answer


def metadata(path: str, deadline: float) -> str:
    """Return one value of the metadata server, once it answers.

    Raises `BootError` at `deadline`, also for an empty value.
    """
    host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
    last = ""
    for _ in waits(deadline):
        try:
            with request(f"http://{host}/computeMetadata/v1/{path}", {"Metadata-Flavor": "Google"}) as answer:
                value = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            last = describe(error)
            continue
        if value.strip():
            return value
        last = "it is empty"
    raise BootError("metadata", f"no value for {path} from the metadata server: {last}")


def waits(deadline: float) -> Iterator[None]:
    """Yield at once, then after growing pauses until `deadline` (monotonic seconds) has passed."""
    pause = 0.2
    while True:
        yield
        if time.monotonic() + pause > deadline:
            return
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0)


def describe(error: Exception) -> str:
    """Return an error in a few words, without headers."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    return f"{type(error).__name__}: {error}"[:200]


def token() -> str:
    """Return an access token of the VM's account."""
    text = metadata("instance/service-accounts/default/token", time.monotonic() + METADATA_SECONDS)
    return str(json.loads(text)["access_token"])


def reach(endpoint: str, deadline: float) -> None:
    """Return once Cloud Storage accepts a connection.

    Raises `BootError` if none opens by `deadline` (monotonic seconds).

    Its name has a dozen addresses. An HTTP client tries each for its whole timeout, which takes minutes; this takes
    seconds.
    """
    url = urllib.parse.urlsplit(endpoint)
    port = url.port or (80 if url.scheme == "http" else 443)
    last, found = "", []
    for _ in waits(deadline):
        try:
            found = socket.getaddrinfo(url.hostname, port, type=socket.SOCK_STREAM)
        except OSError as error:
            last = describe(error)
        for *_rest, address in found:
            try:
                socket.create_connection((str(address[0]), port), CONNECT_SECONDS).close()
            except OSError as error:
                last = describe(error)
            else:
                return
            if time.monotonic() > deadline:
                break
    raise BootError("unreachable", f"no connection to {url.hostname}:{port} opens from this VM: {last}")


def fetch_kit(job: Json, target: Path, deadline: float) -> None:
    """Download the kit of this CPython to `target`, and request it from the builder if the bucket does not have it.

    A missing object gives 404, or 403 if the account may not list the bucket. An object of a broken upload has another
    hash.
    """
    name, wanted = kit_of(job)
    last, said, asked = "", False, False
    for _ in waits(deadline):
        try:
            found = download(job, name, target)
        except (OSError, http.client.HTTPException) as error:
            last = describe(error)
            missing = isinstance(error, urllib.error.HTTPError) and error.code in {403, 404}
        else:
            if found == wanted:
                return
            last, missing = f"its sha256 is {found}", True
        asked = asked or (missing and ask_for_kit(job))
        if not said and time.monotonic() > STARTED + QUIET_SECONDS:
            said = True
            report(f"boot: still waiting for gs://{job['bucket']}/{name}: {last}")
    raise BootError("kit", f"gs://{job['bucket']}/{name} could not be fetched by the VM's account: {last}")


def kit_of(job: Json) -> tuple[str, str]:
    """Return object and hash of the kit for this CPython. Raises `BootError` if the builder has none."""
    kits = job["kits"]
    if CPYTHON not in kits:
        built = ", ".join(sorted(name for name in kits if name.startswith("cp")))
        raise BootError("no_kit", f"this Python is {CPYTHON}, and the builder has kits for {built} only")
    return kits[CPYTHON]["object"], kits[CPYTHON]["sha256"]


def download(job: Json, name: str, target: Path) -> str:
    """Write an object to `target`; return the SHA-256 of the received bytes.

    Raises `OSError` or `http.client.HTTPException`.
    """
    quoted = urllib.parse.quote(name, safe="")
    url = f"{job['storage_endpoint']}/storage/v1/b/{job['bucket']}/o/{quoted}?alt=media"
    digest = hashlib.sha256()
    with request(url, {"Authorization": f"Bearer {token()}"}) as answer, target.open("wb") as file:
        while data := answer.read(1 << 20):
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def ask_for_kit(job: Json) -> bool:
    """Request this CPython's kit from the builder, by an object in the place of the first heartbeat.

    Returns True if it was written.
    """
    query = urllib.parse.urlencode({"uploadType": "media", "name": job["attempt_prefix"] + "heartbeat.json"})
    nonce_sha256 = hashlib.sha256(job["nonce"].encode()).hexdigest()
    wish = {
        "schema": 1,
        "nonce_sha256": nonce_sha256,
        "attempt": job["attempt"],
        "phase": "kit",
        "kit": CPYTHON,
    }
    try:
        headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
        url = f"{job['storage_endpoint']}/upload/storage/v1/b/{job['bucket']}/o?{query}"
        with request(url, headers, "POST", json.dumps(wish).encode()):
            return True
    except (OSError, http.client.HTTPException):
        return False


def unpack_kit(archive: Path, target: Path) -> None:
    """Unpack the kit, whose hash is verified, by the image's tar, or else by Python, which takes longer."""
    target.mkdir()
    complete = False
    with contextlib.suppress(OSError):
        command = ["tar", "-xof", "-", "-C", str(target)]
        with (
            archive.open("rb") as packed,
            subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar,
        ):
            assert tar.stdin is not None  # noqa: S101 - we asked for the pipe
            inflating = zlib.decompressobj(wbits=31)  # the gzip format; faster than the gzip program
            while data := packed.read(1 << 18):
                tar.stdin.write(inflating.decompress(data))
        complete = tar.returncode == 0
    if not complete:
        shutil.rmtree(target)
        unpack_by_python(archive, target)


def unpack_by_python(archive: Path, target: Path) -> None:
    """Unpack regular files. Raises `BootError` for any other member."""
    made = set()
    with tarfile.open(archive, "r|gz") as kit:
        for member in kit:
            path = PurePosixPath(member.name)
            if not member.isreg() or path.is_absolute() or ".." in path.parts:
                raise BootError("kit", f"it holds {member.name!r}, which is not a plain file of the kit")
            destination = target / path
            if destination.parent not in made:
                destination.parent.mkdir(parents=True, exist_ok=True)
                made.add(destination.parent)
            content = kit.extractfile(member)
            if content:
                destination.write_bytes(content.read())


def start_runner(home: Path, job: Json) -> tuple[subprocess.Popen[bytes], threading.Thread]:
    """Start the runner in its own session, isolated from the image's packages, and the relay of its lines."""
    for name in ("home", "tmp"):
        (home / name).mkdir()
    settings = home / "settings.json"
    settings.write_text(json.dumps({**job, "home": str(home), "started": STARTED}), encoding="utf-8")
    runner = subprocess.Popen(
        [sys.executable, "-I", "-S", str(home / "kit" / "builder" / "vm" / "runner"), "run", str(settings)],
        env={
            "LANG": "C.UTF-8",
            **os.environ,
            "HOME": str(home / "home"),
            "TMPDIR": str(home / "tmp"),
        },
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    relaying = threading.Thread(target=relay, args=(runner,), daemon=True)
    relaying.start()
    return runner, relaying


def relay(runner: subprocess.Popen[bytes]) -> None:
    """Forward the runner's lines to the serial port, within limits of length and number."""
    assert runner.stdout is not None  # noqa: S101 - we asked for the pipe
    shown = 0
    while line := runner.stdout.readline(4096):
        text = line.decode("utf-8", "replace").strip()
        shown += 1
        if text and shown <= MAX_RUNNER_LINES:
            report(text)


def watch(runner: subprocess.Popen[bytes], deadline: float) -> int | None:
    """Return the runner's exit status. At `deadline`, tell it to save its results, and return None."""
    try:
        return runner.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        report("run limit reached: the runner is told to stop")
        runner.send_signal(signal.SIGALRM)  # SIGTERM is the VM's own end
        with contextlib.suppress(subprocess.TimeoutExpired):
            runner.wait(TERM_SECONDS)
        return None


def descendants() -> list[int]:
    """Return the pids of all our descendants, from /proc."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                # The name in parentheses can contain anything; the fields begin after the last parenthesis.
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] not in {"Z", "X"}:
                    parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def end_descendants(deadline: float) -> None:
    """Kill every descendant, whatever its session, until none is left or `deadline` has passed."""
    for _ in waits(deadline):
        pids = descendants()
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, so that `descendants` finds all."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run_job(job: Json) -> float:
    """Fetch the kit and run the runner to its end.

    Returns how many seconds the builder has to delete the VM. Raises `BootError`.
    """
    home = Path(tempfile.mkdtemp(prefix="notebook-builder-", dir=os.environ.get("TMPDIR") or "/var/tmp"))  # noqa: S108
    begun = time.monotonic()
    deadline = STARTED + float(job["boot_timeout"])
    reach(job["storage_endpoint"], min(begun + REACH_SECONDS, deadline))
    fetch_kit(job, home / "kit.tar.gz", deadline)
    fetched = time.monotonic()
    unpack_kit(home / "kit.tar.gz", home / "kit")
    (home / "kit.tar.gz").unlink()
    report(
        f"boot: kit fetched in {fetched - begun:.1f} s, unpacked in {time.monotonic() - fetched:.1f} s, attempt {job['attempt']}"
    )
    runner, relaying = start_runner(home, job)
    try:
        # The kit, and later the GPUs, may come as late as the boot's limit: this must not cost the notebook its time.
        code = watch(runner, deadline + float(job["run_limit"]))
    finally:
        end_descendants(time.monotonic() + 30)
        relaying.join(2)
    if code is None:
        raise BootError("run_limit", "the runner was ended at its limit")
    if code == ABANDONED:
        report("done: the build stopped renewing its lease")
        return 0.0
    if code:
        raise BootError("runner", f"it ended with exit status {code}")
    report("done")
    return GRACE_SECONDS


def delete_self(job: Json, patience: float) -> bool:
    """Ask Compute Engine to delete this VM.

    Returns True if it accepts. Most VM accounts lack that permission, and need not have it.
    """
    deadline = time.monotonic() + patience
    project = metadata("project/project-id", deadline)
    zone = metadata("instance/zone", deadline).rpartition("/")[2]
    name = metadata("instance/name", deadline)
    url = f"{job['compute_endpoint']}/compute/v1/projects/{project}/zones/{zone}/instances/{name}"
    for _ in waits(deadline):
        try:
            with request(url, {"Authorization": f"Bearer {token()}"}, method="DELETE"):
                return True
        except urllib.error.HTTPError as error:
            if error.code not in RETRIED:
                report(f"end: the VM's account may not delete its VM ({describe(error)})")
                return False
        except (OSError, http.client.HTTPException):
            continue
    return False


def end_of_life(job: Json, grace: float) -> None:
    """Make sure that this VM ends: by the builder, by its own account, by powering off, or by the server."""
    time.sleep(grace)
    report("end: the builder has not deleted this VM")
    accepted = False
    with contextlib.suppress(Exception):
        accepted = delete_self(job, 60.0)
    if accepted:
        report("end: deletion of this VM was accepted")
        return
    remaining = float(job["max_run_duration"]) - (time.monotonic() - STARTED)
    if remaining > SHUTDOWN_MARGIN_SECONDS:
        report("end: powering off")
        try:
            subprocess.run(["shutdown", "-h", "now"], check=False)  # by its bare name, found through PATH
        except OSError as error:
            report(f"end: {describe(error)}")
    else:
        report(f"end: left to the server, which deletes this VM within {max(remaining, 0):.0f} s")


def main() -> None:
    """Run the job that the metadata describes, then end the VM."""
    adopt_orphans()
    job: Json | None = None
    grace = GRACE_SECONDS
    try:
        job = json.loads(metadata("instance/attributes/nb-job", STARTED + METADATA_SECONDS))
        assert job is not None  # noqa: S101 - for the type checker
        grace = run_job(job)
    except BootError as error:
        report(f"failed: {error.reason}: {error}")
    except BaseException as error:  # noqa: BLE001 - the VM's end of life must be reached
        report(
            f"failed: bootstrap: {describe(error) if isinstance(error, Exception) else type(error).__name__}"
        )
    if job:
        end_of_life(job, grace)
    else:
        report("end: left to the server, which deletes this VM at the end of its time")


if __name__ == "__main__":
    main()
