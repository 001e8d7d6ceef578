"""Secrets on the VM: given to the kernel alone, and found nowhere in what it leaves."""

from __future__ import annotations

import base64
import json
import secrets as random_secrets
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import pytest

from builder.vm.runner import secret_manager
from builder.vm.runner.fault import Fault
from builder.vm.runner.secret_forms import WORDS
from builder.vm.runner.storage import crc32c
from tests.canary import assert_absent, client, make_secret, recorded, stored
from tests.owner import signed

from .vm_fixture import Outcome, VmFixture

CANARY = 'c4nary/Ünit+"42"\\' + random_secrets.token_hex(8)
LONGER = f"{CANARY}-and-more-of-it"
KEY = "".join(random_secrets.token_urlsafe(36) + "\n" for _ in range(6))


@pytest.fixture(scope="module")
def names(vm_fixture: VmFixture) -> dict[str, str]:
    """Three secrets that the VM may read, by variable."""
    tag = uuid.uuid4().hex[:8]
    values = {"CANARY": CANARY, "LONGER": LONGER, "KEY_FILE": KEY}
    return {
        name: make_secret(vm_fixture.cloud, f"{name.lower()}-{tag}", value.encode()) + "/versions/latest"
        for name, value in values.items()
    }


@pytest.fixture
def everything(vm_fixture: VmFixture) -> Iterator[Callable[[Outcome], None]]:
    """Assert that no value is anywhere in what the cloud has and was sent since the test began."""
    with recorded() as sent:

        def check(outcome: Outcome) -> None:
            places = {**stored(vm_fixture.cloud.state), **sent(), "the serial port": outcome.serial.encode()}
            values = {
                "CANARY": CANARY,
                "LONGER": LONGER,
                **{f"line {n}": x for n, x in enumerate(KEY.split())},
            }
            assert len(places) > 10
            assert_absent(values, places)

        yield check


WHERE_IT_IS = """
import os, pathlib
value = os.environ["CANARY"].encode()
holders, told = [], []
for process in pathlib.Path("/proc").iterdir():
    if process.name.isdigit():
        try:
            environment, command = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
        except OSError:
            continue
        if value in environment:
            holders.append(int(process.name))
        if value in command:
            told.append(command)
assert holders == [os.getpid()], holders
assert told == []
home = pathlib.Path(os.environ["HOME"]).parent
files = [path for path in home.rglob("*") if path.is_file() and path.stat().st_size < 10_000_000]
assert len(files) > 100
assert [path for path in files if value in path.read_bytes()] == []
assert os.environ["LONGER"].startswith(os.environ["CANARY"]) and os.environ["KEY_FILE"].endswith("\\n")
"""

SAID = """
import base64, json, os, subprocess, sys, time, urllib.parse, logging
c, longer, key = os.environ["CANARY"], os.environ["LONGER"], os.environ["KEY_FILE"]
print("raw", c, "and", longer)
print(key)
print(base64.b64encode(c.encode()).decode(), base64.b64encode(b"user:" + c.encode()).decode(), base64.encodebytes(key.encode()).decode())
print(urllib.parse.quote(c, safe=""), c.encode().hex(), json.dumps({"k": c}), repr(c), json.dumps(json.dumps(c)))
print({"environment": dict(os.environ)})
for letter in "slowly " + c + "\\n":
    print(letter, end="", flush=True); time.sleep(0.002)
for number, letter in enumerate(c):
    sys.stdout.write(letter); sys.stdout.flush()
    if number % 5 == 0:
        sys.stderr.write("."); sys.stderr.flush()
print()
for line in key.splitlines(): print("one line:", line)
sys.stderr.write(c + "\\n"); logging.warning("logged %s", c)
print("x" * 70_000 + c + "y" * 70_000)
print("\\x1b[31m" + c + "\\x1b[0m")
os.write(1, b"straight " + c.encode() + b"\\n"); os.write(2, c.encode() + b"\\n")
subprocess.run([sys.executable, "-c", "import os; print('child', os.environ['CANARY'])"], check=True)
c
"""

SHOWN = """
from IPython.display import HTML, Markdown, SVG, display
import html, base64
display(HTML(f"<b title='{html.escape(c, quote=True)}'>{html.escape(c)}</b><iframe srcdoc='{html.escape(c)}'></iframe>"))
display(Markdown(f"**{longer}**"))
display({"application/json": {"k": [c, {c: 1}]}, "text/plain": c}, raw=True, metadata={"note": c, c: "x"})
display({"image/png": base64.b64encode(b"\\x89PNG\\r\\n\\x1a\\n\\0tEXt" + c.encode() + b"\\0end").decode(), "text/plain": "png"}, raw=True)
display(SVG(f"<svg xmlns='http://www.w3.org/2000/svg'><text>{html.escape(c)}</text></svg>"))
display({"application/vnd.custom+json": {"data": base64.b64encode(c.encode()).decode()}, "text/html": "<p>" + urllib.parse.quote(c) + "</p>"}, raw=True)
"""

RAISED = """#tags raises-exception
def inner(token):
    raise ValueError(f"refused token {token}")
inner(c)
"""

WRITTEN = """
import pathlib
out = pathlib.Path(os.environ["NB_OUTPUT_DIR"])
(out / "data.csv").write_text(f"id,key\\n1,{c}\\n")
(out / "data.json").write_text(json.dumps({"key": c, "file": key}))
(out / "page.html").write_text(f"<p>{html.escape(c)}</p>")
(out / "plot.svg").write_text(f"<svg>{c}</svg>")
(out / "noext").write_text(key)
(out / "plain.bin").write_bytes(bytes(range(256)))
"""


def test_everything_that_is_told_is_redacted(
    vm_fixture: VmFixture, names: dict[str, str], everything: Callable[[Outcome], None]
) -> None:
    outcome = vm_fixture.run(
        WHERE_IT_IS,
        SAID,
        SHOWN,
        RAISED,
        WRITTEN,
        "#md ![plot](outputs/plot.svg)",
        job={"secrets": names},
        own_kit=True,
    )
    assert outcome.evidence["fault"] is None, outcome.log
    assert outcome.evidence["papermill"]["exit_code"] == 0, outcome.log
    everything(outcome)
    nbformat.validate(outcome.executed)
    assert "raw [redacted CANARY] and [redacted LONGER]" in outcome.text(1)
    assert "| raw [redacted CANARY] and [redacted LONGER]\n" in outcome.log
    assert "| slowly [redacted CANARY]\n" in outcome.log
    assert "one line: [redacted KEY_FILE]" in outcome.log
    assert "child [redacted CANARY]" in outcome.log
    assert "refused token [redacted CANARY]" in json.dumps(outcome.executed)
    assert outcome.objects["outputs/data.csv"] == b"id,key\n1,[redacted CANARY]\n"
    assert json.loads(outcome.objects["outputs/data.json"])["key"] == "[redacted CANARY]"
    assert outcome.objects["outputs/plain.bin"] == bytes(range(256))
    assert b"[redacted CANARY]" in outcome.objects["demo.html"]
    sources = [cell.source for cell in outcome.executed.cells]
    assert sources[1] == SAID
    uses = {use["name"]: use for use in outcome.evidence["secrets"]}
    assert set(uses) == set(names)
    assert all(use["resource"] == names[name] and use["version"] == "1" for name, use in uses.items())
    assert uses["CANARY"]["redactions"] > 20
    assert "# secrets for the kernel: CANARY (version 1 of projects/" in outcome.log


@pytest.mark.always(1)
@pytest.mark.parametrize(
    ("cell", "path"),
    [
        pytest.param(
            "(out / 'plot.png').write_bytes(b'\\x89PNG\\0' + c.encode())",
            "outputs/plot.png",
            id="png",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            "(out / 'rides.parquet').write_bytes(b'PAR1\\0\\xff' + base64.b64encode(b'u:' + c.encode()))",
            "outputs/rides.parquet",
            id="parquet",
        ),
        pytest.param(
            "(out / 'a' ).mkdir(); (out / 'a' / (c[:4] + c[-16:] + '.csv')).write_text('x')",
            "",
            id="harmless name",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            "import gzip; (out / 'x.csv.gz').write_bytes(gzip.compress(c.encode()))",
            "outputs/x.csv.gz",
            id="gzip",
            marks=pytest.mark.exhaustive,
        ),
    ],
)
def test_files_that_cannot_be_redacted_are_not_uploaded(
    vm_fixture: VmFixture, names: dict[str, str], cell: str, path: str
) -> None:
    begin = "import base64, os, pathlib\nout, c = pathlib.Path('outputs'), os.environ['CANARY']\n"
    outcome = vm_fixture.run(begin + cell + "\n(out / 'fine.csv').write_text('fine')", job={"secrets": names})
    assert outcome.evidence["papermill"]["exit_code"] == 0, outcome.log
    assert "outputs/fine.csv" in outcome.objects
    if path:
        assert outcome.reason == "secret_in_output"
        assert (
            outcome.evidence["fault"]["message"]
            == f"{path} was not uploaded: it holds the value of secret CANARY"
        )
        assert path not in outcome.objects
        assert_absent({"CANARY": CANARY}, outcome.objects)
    else:
        assert outcome.reason is None


@pytest.mark.exhaustive  # test_redaction.py looks at names without a VM
def test_a_name_that_holds_a_value(vm_fixture: VmFixture, everything: Callable[[Outcome], None]) -> None:
    value = f"token-{uuid.uuid4().hex}"
    name = make_secret(vm_fixture.cloud, f"name-{uuid.uuid4().hex[:8]}", value.encode())
    with recorded() as sent:
        outcome = vm_fixture.run(
            "import os\nopen('outputs/' + os.environ['TOKEN'] + '.csv', 'w').write('x')\n"
            "os.mkdir('outputs/d\\n' + os.environ['TOKEN']); open('outputs/d\\n' + os.environ['TOKEN'] + '/x', 'w').write('x')",
            job={"secrets": {"TOKEN": f"{name}/versions/1"}},
        )
        assert outcome.reason == "secret_in_output"
        assert (
            "outputs/[redacted TOKEN].csv was not uploaded: its name holds"
            in outcome.evidence["fault"]["message"]
        )
        assert_absent(
            {"TOKEN": value}, {**stored(vm_fixture.cloud.state), **sent(), "serial": outcome.serial.encode()}
        )


@pytest.mark.exhaustive  # test_everything_that_is_told_is_redacted has an exception, too
def test_an_exception_ends_the_notebook(
    vm_fixture: VmFixture, names: dict[str, str], everything: Callable[[Outcome], None]
) -> None:
    outcome = vm_fixture.run(
        "import os\nc = os.environ['CANARY']\nprint(c, end='')",
        "class Refused(Exception): pass\nraise Refused('x' * 480 + c)",
        job={"secrets": names},
    )
    assert outcome.evidence["papermill"]["exit_code"] == 1
    everything(outcome)
    assert "Refused: " in outcome.log
    assert "[redacted CANARY]" in outcome.log


@pytest.mark.exhaustive
def test_a_dying_kernel(
    vm_fixture: VmFixture, names: dict[str, str], everything: Callable[[Outcome], None]
) -> None:
    outcome = vm_fixture.run(
        "import os, signal\nc = os.environ['CANARY'].encode()\nprint('last words', c.decode(), end='', flush=True)\n"
        "os.write(2, b'z' * 8170 + c)\nos.write(2, b'\\nbye ' + c)\nos.write(1, c[:12])\nimport time; time.sleep(0.3)\n"
        "os.write(1, c[12:])\ntime.sleep(0.3)\nos.kill(os.getpid(), signal.SIGKILL)",
        job={"secrets": names},
    )
    assert outcome.reason == "kernel_died"
    everything(outcome)
    assert "bye [redacted CANARY]" in outcome.log


@pytest.mark.exhaustive  # test_a_dying_kernel ends a notebook as well
def test_a_notebook_that_is_stopped(
    vm_fixture: VmFixture, names: dict[str, str], everything: Callable[[Outcome], None]
) -> None:
    outcome = vm_fixture.run(
        "import os, time\nprint(os.environ['CANARY'], flush=True)\nprint(os.environ['CANARY'][:-1], end='', flush=True)\ntime.sleep(600)",
        job={"secrets": {"CANARY": names["CANARY"]}, "timeout": 20},
    )
    assert outcome.reason == "notebook_timeout"
    assert "[redacted CANARY]" in outcome.text(0)
    with pytest.raises(AssertionError, match="half"):
        everything(outcome)  # so much of a value is not known as one: the check can fail


def test_what_is_wrong_is_told_at_once_and_nothing_runs(vm_fixture: VmFixture) -> None:
    cloud, tag = vm_fixture.cloud, uuid.uuid4().hex[:8]
    google = client(cloud)
    off = make_secret(cloud, f"off-{tag}", b"disabled-value")
    google.disable_secret_version(name=f"{off}/versions/1")
    gone = make_secret(cloud, f"gone-{tag}", b"destroyed-value", b"another-value")
    google.destroy_secret_version(name=f"{gone}/versions/1")
    outcome = vm_fixture.run(
        "print('never')",
        job={
            "secrets": {
                "DENIED": make_secret(cloud, f"denied-{tag}", b"denied-value", granted=False) + "/versions/1",
                "NOT_THERE": f"projects/local-project/secrets/none-{tag}/versions/1",
                "NO_VERSION": f"{off}/versions/7",
                "OFF": f"{off}/versions/1",
                "GONE": f"{gone}/versions/1",
                "SHORT": make_secret(cloud, f"short-{tag}", b" 1234567\n") + "/versions/1",
                "FINE": f"{gone}/versions/latest",
            }
        },
    )
    assert outcome.reason == "secret_refused"
    assert outcome.evidence["papermill"] is None
    assert outcome.evidence["executed_notebook"] is None
    problems = {use["name"]: (use["problem"], use["version"]) for use in outcome.evidence["secrets"]}
    assert problems == {
        "DENIED": ("denied", None),
        "NOT_THERE": ("denied", None),  # as in Google Cloud: who may not look hears no more
        "NO_VERSION": ("missing", None),
        "OFF": ("disabled", None),
        "GONE": ("destroyed", None),
        "SHORT": ("short", "1"),
        "FINE": ("", "2"),
    }
    assert "Permission 'secretmanager.versions.access' denied" in outcome.log
    assert "another-value" not in outcome.log


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param(b"\xff\xfe binary value", "not_text", id="not text"),
        pytest.param(b"with a \0 byte", "nul", id="null byte"),
        pytest.param(b"completed", "word", id="word"),
        pytest.param(b"1234567", "short", id="too short"),
    ],
)
def test_values_that_cannot_be_used(vm_fixture: VmFixture, value: bytes, problem: str) -> None:
    name = make_secret(vm_fixture.cloud, f"unfit-{uuid.uuid4().hex[:8]}", value)
    (secret,) = resolve(vm_fixture, name)
    assert (secret.problem, secret.version, secret.value) == (problem, 1, "")
    with pytest.raises(Fault) as caught:
        secret_manager.check([secret])
    assert caught.value.reason == "secret_unfit"
    assert f"secret A, {name}/versions/1: " in caught.value.message


def resolve(vm_fixture: VmFixture, name: str) -> list[secret_manager.Secret]:
    """Read a secret here, as the project's owner."""
    import requests

    def ask(url: str, seconds: float) -> tuple[int, bytes]:
        answer = requests.get(url, headers=signed(vm_fixture.cloud.iam), timeout=seconds)
        return answer.status_code, answer.content

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secret_manager, "ask_google", ask)
        return secret_manager.resolve(vm_fixture.cloud.url, {"A": f"{name}/versions/1"})


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "place",
    [
        "notebook",
        *(pytest.param(place, marks=pytest.mark.exhaustive) for place in ("file", "name", "parameters")),
    ],
)
def test_a_value_that_was_committed(vm_fixture: VmFixture, place: str) -> None:
    value = f"committed-{uuid.uuid4().hex}"
    name = make_secret(vm_fixture.cloud, f"known-{uuid.uuid4().hex[:8]}", value.encode())
    outcome = vm_fixture.run(
        "#tags parameters\ntoken = ''",
        f"print('{value}')" if place == "notebook" else "print('never')",
        job={"secrets": {"TOKEN": f"{name}/versions/1"}},
        files={
            "books/config.py": f"TOKEN = '{value if place == 'file' else ''}'".encode(),
            f"books/{value if place == 'name' else 'other'}.txt": b"",
            "books/outputs/stale.csv": b"gone before anybody looks",
        },
        parameters={"token": value} if place == "parameters" else {},
    )
    assert outcome.reason == "secret_in_source"
    where = {
        "notebook": "books/demo.ipynb",
        "file": "books/config.py",
        "name": "books/[redacted TOKEN].txt",
        "parameters": "the notebook's parameters",
    }[place]
    assert outcome.evidence["fault"]["message"].startswith(f"the value of secret TOKEN is in {where}")
    assert outcome.evidence["papermill"] is None
    assert_absent({"TOKEN": value}, outcome.objects)


def answer(value: bytes, checksum: int | None = None) -> tuple[int, bytes]:
    payload = {
        "data": base64.b64encode(value).decode(),
        "dataCrc32c": str(crc32c(value) if checksum is None else checksum),
    }
    return 200, json.dumps({"name": "projects/1/secrets/s/versions/5", "payload": payload}).encode()


def script(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
    """Have Secret Manager answer so, one after another, the last one for ever."""
    left = list(answers)

    def ask(_url: str, _seconds: float) -> tuple[int, bytes]:
        told = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(told, Exception):
            raise told
        return tuple(told)

    monkeypatch.setattr(secret_manager, "ask_google", ask)
    monkeypatch.setattr(secret_manager, "PAUSE_SECONDS", 0.01)


def test_transient_failures_are_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = answer(b"good value", checksum=1)
    script(
        monkeypatch,
        ConnectionError("reset"),
        (503, b""),
        (429, b""),
        (200, b"<html>"),
        damaged,
        answer(b"good value"),
    )
    (secret,) = secret_manager.resolve("http://x", {"A": "projects/p/secrets/s/versions/latest"})
    assert (secret.value, secret.version, secret.problem) == ("good value", 5, "")
    assert "good value" not in repr(secret)


@pytest.mark.parametrize(
    "trouble",
    [ConnectionError("no route"), (503, b""), answer(b"good value", checksum=1)],
    ids=["no route", "503", "wrong checksum"],
)
def test_lasting_trouble_is_the_environments(monkeypatch: pytest.MonkeyPatch, trouble: Any) -> None:
    script(monkeypatch, trouble)
    monkeypatch.setattr(secret_manager, "BUDGET_SECONDS", 0.05)
    with pytest.raises(Fault) as caught:
        secret_manager.resolve("http://x", {"A": "projects/p/secrets/s/versions/latest"})
    assert caught.value.reason == "secret_unavailable"
    assert "good value" not in caught.value.message


@pytest.mark.parametrize(
    ("status", "error", "problem"),
    [
        pytest.param(
            403,
            {"message": "Secret Manager API …", "details": [{"reason": "SERVICE_DISABLED"}]},
            "api_disabled",
            id="API disabled",
        ),
        pytest.param(
            400,
            {"message": "is in DISABLED state.", "status": "FAILED_PRECONDITION"},
            "disabled",
            id="disabled",
        ),
        pytest.param(400, {"message": "bad", "status": "INVALID_ARGUMENT"}, "refused", id="refused"),
        pytest.param(401, None, "refused", id="401"),
        pytest.param(404, "odd", "missing", id="missing"),
    ],
)
def test_refusals(monkeypatch: pytest.MonkeyPatch, status: int, error: Any, problem: str) -> None:
    script(monkeypatch, (status, json.dumps({"error": error}).encode()))
    (secret,) = secret_manager.resolve("http://x", {"A": "projects/p/secrets/s/versions/latest"})
    assert secret.problem == problem


def test_words_of_every_result_are_known() -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    assert {word for word in book if len(word) >= 8} <= set(WORDS.split())


def test_a_value_that_is_a_part_of_the_evidence_changes_nothing_there(vm_fixture: VmFixture) -> None:
    """Such as the name of a user, in a secret that is called like the user."""
    value = f"analytics-{uuid.uuid4().hex[:8]}"
    name = make_secret(vm_fixture.cloud, f"{value}-name", value.encode())
    outcome = vm_fixture.run(
        "import os\nprint(os.environ['DB_USER'])", job={"secrets": {"DB_USER": f"{name}/versions/1"}}
    )
    assert outcome.reason is None
    assert outcome.text(0) == "[redacted DB_USER]\n"
    (used,) = outcome.evidence["secrets"]
    assert (used["name"], used["version"]) == ("DB_USER", "1")
    assert used["resource"] == f"{name}/versions/1"


def test_a_notice_is_redacted_before_it_is_cut(vm_fixture: VmFixture) -> None:
    """Half of a value is not recognized."""
    value = "c4nary" + random_secrets.token_hex(600)
    name = make_secret(vm_fixture.cloud, f"long-{uuid.uuid4().hex[:8]}", value.encode())
    outcome = vm_fixture.run(
        "import os, threading\nlong = 'x' * 300 + os.environ['KEY']\n"
        "def work():\n    raise ValueError(long)\nthread = threading.Thread(target=work)\nthread.start()\nthread.join()",
        job={"secrets": {"KEY": f"{name}/versions/1"}},
    )
    (notice,) = outcome.evidence["notices"]
    assert "[redacted KEY]" in notice["message"]
    assert value[:40].encode() not in b"".join(outcome.objects.values())
