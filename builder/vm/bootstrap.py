"""The VM's first and last program: fetches the kit, starts the runner, watches it, and ends the VM's life.

It arrives in the startup script and has nothing but the standard library. It writes only below a directory of
its own, and prints short lines that begin with `notebook-builder: ` to the serial port; never a token, never a
parameter. Whatever fails in here, the VM's end of life is reached.
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
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

# The builder deletes the VM as soon as it has the evidence; only after this long do we act ourselves.
GRACE_SECONDS = 300.0
# A shutdown from inside cancels the server's own deletion and leaves a stopped VM whose disk costs money. That
# beats a VM that runs on for long, and loses against one that the server deletes soon.
SHUTDOWN_MARGIN_SECONDS = 1800.0
METADATA_SECONDS = 120.0
# After this long without the kit the reason goes to the serial port, where it can be read before the time is up.
QUIET_SECONDS = 15.0
# What the runner gets to save its results when the run limit is reached.
TERM_SECONDS = 20.0
MAX_RUNNER_LINES = 500
# The runner's exit status when it ended the run because the builder is gone.
ABANDONED = 75
RETRIED = {408, 429, 500, 502, 503, 504}
CPYTHON = f"cp{sys.version_info[0]}{sys.version_info[1]}"
PR_SET_CHILD_SUBREAPER = 36

Json = dict[str, Any]
STARTED = time.monotonic()


class BootError(Exception):
    """The VM cannot start the job: `reason` is one word for the serial port, the text says the rest."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def say(text: str) -> None:
    """Print one line for the serial port. Its reader may be gone: that must not stop us."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)[:500]
    with contextlib.suppress(OSError):
        print(f"notebook-builder: {line}", flush=True)  # noqa: T201 - standard output is the serial port


def request(url: str, headers: dict[str, str], method: str = "GET", content: bytes | None = None) -> BinaryIO:
    """Open `url` without any proxy. Raises `OSError` (an HTTPError is one) or `http.client.HTTPException`."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    # The two schemes come from our own builder's options, not from a notebook.
    asked = urllib.request.Request(url, content, headers, method=method)  # noqa: S310
    answer: BinaryIO = opener.open(asked, timeout=30)
    return answer


def metadata(path: str, deadline: float) -> str:
    """Return one value of the metadata server, waiting while it is late. An empty value is an error."""
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


def fetch_kit(job: Json, target: Path, deadline: float) -> None:
    """Download the kit of this CPython to `target`, and ask the builder for it where it is not in the bucket.

    A missing object is a 404, or a 403 where the account may not list the bucket. What a broken upload left has another hash.
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
            say(f"boot: still waiting for gs://{job['bucket']}/{name}: {last}")
    raise BootError("kit", f"gs://{job['bucket']}/{name} could not be fetched by the VM's account: {last}")


def kit_of(job: Json) -> tuple[str, str]:
    """Return object and hash of the kit for this CPython; raises `BootError` where the builder has none."""
    kits = job["kits"]
    if CPYTHON not in kits:
        built = ", ".join(sorted(name for name in kits if name.startswith("cp")))
        raise BootError("kit", f"this Python is {CPYTHON}, and the builder has kits for {built} only")
    return kits[CPYTHON]["object"], kits[CPYTHON]["sha256"]


def download(job: Json, name: str, target: Path) -> str:
    """Write an object to `target`; return the SHA-256 of what came. Raises `OSError` or `http.client.HTTPException`."""
    quoted = urllib.parse.quote(name, safe="")
    url = f"{job['storage_endpoint']}/storage/v1/b/{job['bucket']}/o/{quoted}?alt=media"
    digest = hashlib.sha256()
    with request(url, {"Authorization": f"Bearer {token()}"}) as answer, target.open("wb") as file:
        while data := answer.read(1 << 20):
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def ask_for_kit(job: Json) -> bool:
    """Tell the builder, in the place of the first heartbeat, that this CPython's kit is wanted; say whether that was written."""
    query = urllib.parse.urlencode({"uploadType": "media", "name": job["attempt_prefix"] + "heartbeat.json"})
    wish = {"schema": 1, "nonce": job["nonce"], "attempt": job["attempt"], "phase": "kit", "kit": CPYTHON}
    try:
        headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
        url = f"{job['storage_endpoint']}/upload/storage/v1/b/{job['bucket']}/o?{query}"
        with request(url, headers, "POST", json.dumps(wish).encode()):
            return True
    except (OSError, http.client.HTTPException):
        return False


def unpack_kit(archive: Path, target: Path) -> None:
    """Unpack the kit, whose hash was checked before: by the image's tar, else by Python, which takes longer."""
    target.mkdir()
    command = ["tar", "-xzof", str(archive), "-C", str(target)]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        shutil.rmtree(target)
        unpack_by_python(archive, target)


def unpack_by_python(archive: Path, target: Path) -> None:
    """Unpack regular files only. Raises `BootError` for any other."""
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
    """Start the runner in a session of its own, isolated from the image's packages, and the relay of its lines."""
    for name in ("home", "tmp"):
        (home / name).mkdir()
    settings = home / "settings.json"
    settings.write_text(json.dumps({**job, "home": str(home), "started": STARTED}), encoding="utf-8")
    runner = subprocess.Popen(
        [sys.executable, "-I", "-S", str(home / "kit" / "runner"), "run", str(settings)],
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
    """Pass on the runner's few lines, so that its last words reach the serial port; bounded in length and number."""
    assert runner.stdout is not None  # noqa: S101 - we asked for the pipe
    shown = 0
    while line := runner.stdout.readline(4096):
        text = line.decode("utf-8", "replace").strip()
        shown += 1
        if text and shown <= MAX_RUNNER_LINES:
            say(text)


def watch(runner: subprocess.Popen[bytes], deadline: float) -> int | None:
    """Wait for the runner until `deadline`; then ask it to save what it has, and return None if it overran."""
    try:
        return runner.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        say("run limit reached: the runner is told to stop")
        runner.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            runner.wait(TERM_SECONDS)
        return None


def descendants() -> list[int]:
    """Return the pids of all our descendants, from /proc."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                # The name in parentheses may hold anything; the fields begin after the last one.
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
    """Become the parent of processes that lose theirs, so that none escapes `descendants`."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run_job(job: Json) -> float:
    """Fetch the kit, run the runner to its end; the seconds that the builder then has to delete us. Raises `BootError`."""
    home = Path(tempfile.mkdtemp(prefix="notebook-builder-", dir=os.environ.get("TMPDIR") or "/var/tmp"))  # noqa: S108
    begun = time.monotonic()
    fetch_kit(job, home / "kit.tar.gz", STARTED + float(job["boot_timeout"]))
    fetched = time.monotonic()
    unpack_kit(home / "kit.tar.gz", home / "kit")
    (home / "kit.tar.gz").unlink()
    say(
        f"boot: kit fetched in {fetched - begun:.1f} s, unpacked in {time.monotonic() - fetched:.1f} s, attempt {job['attempt']}"
    )
    runner, relaying = start_runner(home, job)
    try:
        # Not from the boot on: a kit that came late must not cost the notebook its time.
        code = watch(runner, time.monotonic() + float(job["run_limit"]))
    finally:
        end_descendants(time.monotonic() + 30)
        relaying.join(2)
    if code is None:
        raise BootError("run_limit", f"the run was ended after {job['run_limit']} s")
    if code == ABANDONED:
        say("done: the builder gave no sign of life any more")
        return 0.0
    if code:
        raise BootError("runner", f"it ended with exit status {code}")
    say("done")
    return GRACE_SECONDS


def delete_self(job: Json, patience: float) -> bool:
    """Ask Compute to delete this VM; say whether it accepted. Most VM accounts may not, and need not."""
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
                say(f"end: the VM's account may not delete its VM ({describe(error)})")
                return False
        except (OSError, http.client.HTTPException):
            continue
    return False


def end_of_life(job: Json, grace: float) -> None:
    """See to it that this VM ends: by the builder, by its own account, by powering off, or by the server."""
    time.sleep(grace)
    say("end: the builder has not deleted this VM")
    accepted = False
    with contextlib.suppress(Exception):
        accepted = delete_self(job, 60.0)
    if accepted:
        say("end: deletion of this VM was accepted")
        return
    remaining = float(job["max_run_duration"]) - (time.monotonic() - STARTED)
    if remaining > SHUTDOWN_MARGIN_SECONDS:
        say("end: powering off")
        try:
            subprocess.run(["shutdown", "-h", "now"], check=False)  # by bare name: whatever PATH says
        except OSError as error:
            say(f"end: {describe(error)}")
    else:
        say(f"end: left to the server, which deletes this VM within {max(remaining, 0):.0f} s")


def main() -> None:
    """Run the job whose description the metadata server holds, then end the VM's life."""
    adopt_orphans()
    job: Json | None = None
    grace = GRACE_SECONDS
    try:
        job = json.loads(metadata("instance/attributes/nb-job", STARTED + METADATA_SECONDS))
        assert job is not None  # noqa: S101 - for the type checker
        grace = run_job(job)
    except BootError as error:
        say(f"failed: {error.reason}: {error}")
    except BaseException as error:  # noqa: BLE001 - the VM's end of life must be reached
        say(f"failed: bootstrap: {describe(error) if isinstance(error, Exception) else type(error).__name__}")
    if job:
        end_of_life(job, grace)
    else:
        say("end: left to the server, which deletes this VM at the end of its time")


if __name__ == "__main__":
    main()
