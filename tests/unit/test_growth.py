"""Everything that reads what users or VMs wrote takes time proportional to its size, also for the worst text.

At 10 and at 100 KB, a row may take the time of 1 KB times the growth of the size to the power of 1.3, and 2 s at most.

Each row of the table is a reader with a generator of its worst input. A process of its own reads a small and a large
input; the test compares the two times. Seconds are the process's own where they can be told, and the system ends it
when a row takes too many, so a busy machine changes nothing. Texts for the first review's findings are among them:
4,000 spaces, `*a*a*a`, `<script src= `.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.options.message import MessageRefused
from builder.options.templates import TemplateMistake
from builder.options.values import InvalidValue
from builder.options.yaml_text import YamlMistake
from builder.plan.notebooks import UnreadableNotebook
from builder.vm.codec import ProtocolError
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
SMALL, LARGE = 1_000, 100_000
GROWTH = 1.3  # of the time, as a power of the growth of the size; 1 for a linear reader
START = 1.5  # seconds of the processor's time for the builder's start
LEAVES = 2.0  # seconds for the large text; only then can a signal be heard
FLOOR = 20e-6  # seconds; what is quicker on the small input is noise
MAX_SECONDS = 10  # seconds of the process's own time for one row
# How readers refuse a text; those of HTML do so with a plain ValueError.
LIMITS = ("elements inside of one another", "ampersands in one text")
REFUSALS = (InvalidValue, MessageRefused, ProtocolError, TemplateMistake, UnreadableNotebook, YamlMistake)


@dataclass(frozen=True)
class Row:
    """A reader, and its worst input of about so many characters."""

    read: Callable[[Any], object]
    worst: Callable[[int], Any]
    small: int = SMALL
    large: int = LARGE


def again(text: str, before: str = "", after: str = "") -> Callable[[int], str]:
    """Make a generator of a repeated text."""
    return lambda size: before + text * (size // len(text)) + after


def rows() -> Iterator[tuple[str, Row]]:
    """Yield every row."""
    for part in (repository_rows, option_rows, vm_rows, runner_rows, page_rows, html_rows, localcloud_rows):
        yield from part()
    yield "the measure: a square", Row(re.compile(r"\s+#").search, again(" "), SMALL, 12_000)
    yield "the measure: a line", Row(re.compile(r"(?<!\s)\s+#").search, again(" "))


def repository_rows() -> Iterator[tuple[str, Row]]:
    """Yield the inputs from a repository: requirements, notebooks, globs, git's config."""
    from builder.globs import matches
    from builder.plan.notebooks import check_parameters, read_notebook
    from builder.plan.papermill_parameters import assigned_names, declared_parameters
    from builder.plan.requirements_file import read_requirements
    from builder.plan.tracked import _is_sha256

    def requirements(text: str) -> object:
        return read_requirements("r.txt", lambda _: text, only_index=True)

    for name, worst in {
        "spaces in a requirement": again(" ", "a", "!"),
        "spaces around brackets": again(" ", "a [b] ", "!"),
        "spaces before no comment": again(" ", "a", "b"),
        "versions": again("==1 , ", "a", "!"),
        "extras": again("[", "a"),
        "dashes in a name": again("-", "a", "!"),
        "names of dashes": again("a-", "", "!"),
        "markers": again(";", "a @ b", "!"),
        "continued lines": again("a \\\n"),
        "spaces after an include": again(" ", "-r", ""),
        "endings of archives": again(".whl"),
        "hashes": again(" --hash", "a"),
    }.items():
        yield f"requirements: {name}", Row(requirements, worst)
    for name, worst in {
        "name": again("a"),
        "type": again("a", "a: "),
        "lists": again("[a], ", "a: "),
        "lines": again("a\n"),
        "definitions": again("a = 1\n"),
        "spaces": again(" ", "a", "b = 1"),
    }.items():
        yield f"declared parameters: {name}", Row(declared_parameters, worst)
        yield f"assigned names: {name}", Row(assigned_names, worst)

    def book(source: str, **cell: Any) -> bytes:
        made: dict[str, Any] = {
            "cell_type": "code",
            "metadata": {"tags": ["parameters"]},
            "execution_count": None,
            "outputs": [],
        }
        return json.dumps(
            {"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": {"name": "python3", "display_name": ""}, "language_info": {"name": "python"}}, "cells": [{**made, "source": source, **cell}]}
        ).encode()  # fmt: skip

    def undeclared(content: bytes) -> object:
        read = read_notebook("a.ipynb", content)
        return read if isinstance(read, list) else check_parameters(read, {"name": 1})

    yield "a notebook: nesting", Row(lambda raw: read_notebook("a.ipynb", raw), lambda size: b"[" * size)
    yield (
        "a notebook: closed nesting",
        Row(
            lambda raw: read_notebook("a.ipynb", raw),
            lambda size: b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6),
        ),
    )
    yield (
        "a notebook: a parameter that it names without an =",
        Row(undeclared, lambda size: book("name " * (size // 5))),
    )
    yield "globs: stars", Row(lambda path: matches("*a" * 20 + "*b", path), again("a"))
    yield "globs: folders", Row(lambda path: matches("**/a/" * 8 + "b", path), again("a/", after="c"))
    yield (
        "globs: folders and stars",
        Row(lambda path: matches("**/*a*/" * 8 + "b", path), again("aa/", after="c")),
    )
    yield "globs: a rest", Row(lambda path: matches("**/a/" * 8 + "**/b/**", path), again("a/", after="c"))
    yield (
        "globs: a long pattern",
        Row(lambda pattern: matches(pattern, "a" * 50), again("*a", after="b"), 200, 20_000),
    )
    yield "globs: classes", Row(lambda path: matches("*[!b]" * 20 + "b", path), again("a"))

    def config(text: str) -> object:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config").write_text(text)
            return _is_sha256(Path(folder))

    yield "git's config: empty lines", Row(config, again("\n"))


def option_rows() -> Iterator[tuple[str, Row]]:
    """Yield the inputs from options and messages."""
    from builder.gcp.failures import _first_line
    from builder.options import google_names, paths, values
    from builder.options.message import read_message
    from builder.options.parameters import secrets_in
    from builder.options.templates import render
    from builder.options.yaml_text import MAX_TEXT, read_data

    for name, text in {
        "lists": "[", "mappings": "{", "questions": "? ", "items": "- ", "keys": "a: ", "lines": "\n", "spaces": " ",
        "quotes": "'", "double quotes": '"', "blocks": "|\n", "text": "a\n", "anchors": "&a ", "tags": "!", "comments": "#\n",
        "commas": ",", "escapes": '"\\u0041', "pairs": "[a, ", "list of pairs": "- a: b\n",
    }.items():  # fmt: skip
        yield f"YAML: {name}", Row(read_data, again(text), 600, MAX_TEXT - 10)
    for name, worst in {
        "lists": again("[", '{"a":'),
        "keys": lambda size: "{" + ",".join(f'"{n}":1' for n in range(size // 8)) + "}",
        "digits": again("1", '{"a":', "}"),
        "backslashes": again("\\\\", '{"a":"', '"}'),
    }.items():
        yield f"JSON: {name}", Row(read_data, worst)
        yield f"a message: {name}", Row(read_message, worst, 40, 3_900)
    for name, text in {
        "braces": "{",
        "open": "{today",
        "steps": "{today" + "+1d" * 5,
        "percent": "{today:%",
        "closed": "}",
    }.items():
        yield (
            f"templates: {name}",
            Row(lambda text: render(text, __import__("datetime").date(2018, 4, 1)), again(text)),
        )
    for name, text in {
        "tokens": "eyJ", "dotted tokens": "eyJaaaaaaaa.", "keys": "-----BEGIN ", "key": "AAAA", "google": "ya29.", "github": "github_pat_",
    }.items():  # fmt: skip
        yield f"secrets in parameters: {name}", Row(lambda text: list(secrets_in({"a": text})), again(text))
    yield "secrets in parameters: words", Row(lambda name: list(secrets_in({name: "a"})), again("aB"))
    for name, kind, text in (
        ("NB_GCS_LOCATION", google_names.gcs_location, "gs://a-a.a/"),
        ("NB_OUTPUT", google_names.output, "results/<run>/a/"),
        ("an account", google_names.service_account, "a-a.a@a."),
        ("an image", google_names.container_image, "a-docker.pkg.dev/a/a:"),
        ("a machine type", google_names.machine_type, "a-a"),
        ("labels", google_names.labels, "a=b,"),
        ("a list", values.list_of(values.text), "a,\n"),
        ("an expectation", paths.expectation, "a>=1 "),
    ):
        yield f"options: {name}", Row(kind.parse, again(text))
    yield "an error's address", Row(lambda text: _first_line(ValueError(text)), again("?"))
    yield "an error's address with names", Row(lambda text: _first_line(ValueError(text)), again("?a=b)"))


def vm_rows() -> Iterator[tuple[str, Row]]:
    """Yield a VM's files in the bucket, as the builder reads them."""
    from builder.judge.cell_failure import _line_in_cell, _shortened
    from builder.judge.executed_notebook import ExecutedCell
    from builder.model import CodeCell
    from builder.plain_text import one_line, plain
    from builder.vm.protocol import Evidence, decode_heartbeat

    cell = ExecutedCell(CodeCell(0, "1", frozenset()), 1, (), None, None)

    def trace(text: str) -> object:
        lines = plain(text).split("\n")
        return _line_in_cell(lines, cell), _shortened(lines)

    for name, worst in {
        "lists": again("[", '{"nonce_sha256":'),
        "closed lists": lambda size: '{"nonce_sha256":' + "[" * (size // 2) + "]" * (size // 2) + "}",
        "keys, the last twice": lambda size: "{" + ",".join(f'"{n}":1' for n in range(size // 8)) + ',"0":1}',
        "digits": again("1", '{"counter":', "}"),
        "infinity": again("Infinity,", '{"a":[', "]}"),
    }.items():
        yield f"a heartbeat: {name}", Row(lambda text: decode_heartbeat(text.encode()), worst)
        yield f"evidence: {name}", Row(lambda text: Evidence.decode(text.encode()), worst)
    for name, text in {
        "titles": "\x1b]", "colours": "\x1b[1", "escapes": "\x1b", "returns": "\r", "spaces": " ", "frames": "File /site-packages/",
        "cells": "Cell In[1], line 1\n", "arrows": "-> 1\n", "rules": "-", "words": "a.a: ", "lines": "File \n",
    }.items():  # fmt: skip
        yield f"a traceback: {name}", Row(trace, again(text))
        yield f"an error's line: {name}", Row(one_line, again(text))
    yield from document_rows()


def document_rows() -> Iterator[tuple[str, Row]]:
    """Yield a VM's serial port, its executed notebook, its error's module, and the history of runs."""
    from builder.act.serial_lines import boot_error, refusal
    from builder.judge import missing_module
    from builder.judge.executed_notebook import read_executed
    from builder.report.history import decode

    def serial(text: str) -> object:
        lines = text.split("\n")
        nobody: Any = None
        return boot_error(nobody, "p", lines), refusal(lines)

    for name, text in {
        "refusals": "HTTP 403\n", "marks": "notebook-builder: ", "kits": "notebook-builder: boot: kit fetched\n", "lines": "\n",
    }.items():  # fmt: skip
        yield f"serial output: {name}", Row(serial, again(text))
    for name, worst in {
        "lists": again("["),
        "keys": lambda size: "{" + ",".join(f'"{n}":1' for n in range(size // 8)) + "}",
        "cells": lambda size: json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [{"cell_type": "code", "metadata": {}, "execution_count": 1, "outputs": [], "source": "1"}] * (size // 100)}),
        "outputs": lambda size: json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [{"cell_type": "code", "metadata": {}, "execution_count": 1, "outputs": [{"output_type": "stream", "name": "stdout", "text": ["a"]}] * (size // 60), "source": "1"}]}),
    }.items():  # fmt: skip
        yield f"an executed notebook: {name}", Row(lambda text: read_executed(text.encode()), worst)
        yield f"the history: {name}", Row(lambda text: decode(text.encode()), worst)
    for name, text in {"names": "google.cloud ", "imports": "google.cloud import ", "spaces": " "}.items():
        yield f"an import: {name}", Row(missing_module._CLOUD_IMPORT.search, again(text, "google.cloud", "!"))


def runner_rows() -> Iterator[tuple[str, Row]]:
    """Yield the notebook's output, as the runner reads it on the VM."""
    from builder.vm.runner.frames import EVENT, HEADER, Reader
    from builder.vm.runner.output_messages import _fit_value
    from builder.vm.runner.redaction import Redactor, Stream
    from builder.vm.runner.requirements import _causes
    from builder.vm.runner.secret_forms import forms
    from builder.vm.runner.text import Lines

    redactor = Redactor({"KEY": "s3cret-s3cret-s3cret-value"})

    def in_pieces(feed: Callable[[bytes], object], data: bytes) -> None:
        for at in range(0, len(data), 100):
            feed(data[at : at + 100])

    for name, text in {
        "escapes": "\x1b[",
        "titles": "\x1b]",
        "returns": "\r",
        "lines": "\n",
        "text": "a",
        "codes": "\x1b[0;",
    }.items():
        yield f"the log: {name}", Row(lambda text: in_pieces(Lines().feed, text.encode()), again(text))
    for name, text in {
        "beginnings": "s3cret-s3cret-s3cret-valu", "heads": "s3cr", "values": "s3cret-s3cret-s3cret-value", "text": "a",
        "percents": "%", "escaped percents": "%25", "entities": "&amp;", "ampersands": "&", "backslashes": "\\", "codes": "\\u0073",
        "colours": "\x1b[1;", "titles": "\x1b]", "tags": "<a ", "closed tags": "<a>s</a>", "quotes": "'", "spaces": "s ", "zeros": "s\0",
        "hex": "0x73, ", "encoded beginnings": "czNjcmV0LXMzY3JldC1zM2NyZXQtdmFsdW\n",
    }.items():  # fmt: skip
        yield f"redaction: {name}", Row(lambda text: redactor.data(text.encode()), again(text))
        yield (
            f"redaction in a stream: {name}",
            Row(lambda text: in_pieces(Stream(redactor).feed, text.encode()), again(text), 10_000),
        )
        yield (
            f"redaction across outputs: {name}",
            Row(lambda text: redactor.pieces([text, text]), again(text)),
        )
    for name, text in {"values": "s3cret-s3cret-s3cret-value", "text": "a"}.items():
        yield (
            f"redaction of a notebook: {name}",
            Row(lambda text: redactor.json({"a": [text, {"b": text}]}), again(text)),
        )

    def framed(size: int) -> bytes:
        payload = json.dumps({"a": "b" * size}).encode()
        return HEADER.pack(EVENT, len(payload)) + payload

    def frames(data: bytes) -> None:
        reader = Reader()
        in_pieces(lambda piece: list(reader.feed(piece)), data)

    for name, worst in {
        "lines": again("a = b\n"), "long lines": again("a", "b\n", "\nc"), "spaces": again(" ", "export a\n", "b"), "lists": again("[", '{"key": '),
        "texts": lambda size: json.dumps({"password": ["marmalade"] * (size // 12)}), "addresses": again("a://b:c@", "d\n"),
    }.items():  # fmt: skip
        yield f"a secret's value: {name}", Row(forms, worst, 600, 60_000)
    yield "a media type", Row(lambda media: _fit_value(media, "1"), again("application/a+"))
    yield "papermill's events", Row(frames, framed)
    yield "what uv says", Row(_causes, again("\n   "))


def page_rows() -> Iterator[tuple[str, Row]]:
    """Yield the inputs of a notebook's pages, apart from HTML."""
    from builder.vm.runner.pages import markdown, mathml, outputs, styles

    def shown(text: str) -> object:
        return markdown.render(text, Path(), {}, "nb-x")

    for name, text in {
        "displays": r"\\[ ", "inline formulas": r"\\(x ", "environments": r"\begin{a}", "many environments": r"\begin{a}\end{b}",
        "dollars": "$", "formulas": "$x$ ", "tags": "<style ", "boxes": '<input class="task-list-item-checkbox"', "emphasis": "*a **b ",
        "brackets": "[", "quotes": "> ", "ticks": "` ", "tables": "|a",
    }.items():  # fmt: skip
        yield f"Markdown: {name}", Row(shown, again(text), SMALL, 30_000)
    for name, text in {"displays": r"\[", "inline": r"\(", "dollars": "$ ", "closed": r"\]"}.items():
        yield f"LaTeX: {name}", Row(mathml.from_output, again(text, "$a$ "))
    for name, text in {
        "colours": "\x1b[1m", "other codes": "\x1b[2K", "open codes": "\x1b[;", "one long code": "1;", "returns": "\r", "texts": "\x1b[1ma\x1b[0mb",
    }.items():  # fmt: skip
        before = "\x1b[" if name == "one long code" else ""
        yield f"printed text: {name}", Row(lambda text: outputs._printed(text, "x"), again(text, before, "m"))
    for name, text in {
        "comments": "/*",
        "rules": "a{color:red}",
        "selectors": "a,",
        "values": "a{color:url (",
        "texts": '"',
    }.items():
        yield f"style sheets: {name}", Row(lambda text: styles.split(f"<style>{text}", "nb-x"), again(text))
    yield (
        "an object's name",
        Row(lambda text: outputs._still({"text/plain": text}), again(" object a", "<a", "\n")),
    )
    yield "a picture", Row(outputs._picture("image/png", {}), again("a "))


def html_rows() -> Iterator[tuple[str, Row]]:
    """HTML outputs: what is sanitised, and what becomes a chart's frame."""
    from builder.vm.runner.pages import charts
    from builder.vm.runner.pages.sanitize import sanitize, svg_image

    def framed(text: str) -> object:
        data = {"text/html": text}
        frames = charts.Frames()
        frames.keep_library(data)
        frames.frame(charts.kind_of(data) or charts.KINDS[0], data)
        return charts.is_library(data), charts.left_out(text)

    for text in (
        "<svg ", "<svg>", "<svg></svg>", "</svg", "<style ", "<style>", "</style", "<script src= ", "<script>", "<div>", "<b><p>", "<i></p>",
        "<font size=1>", "<table><td>", "<rt>", "<", "&", "<!--", "<a b=c ", "<li>", "<p>", "<h1>", "<select>", "<math><svg>", "</b>",
    ):  # fmt: skip
        yield f"HTML: {text}", Row(lambda text: sanitize(text, "nb-x"), again(text))
    yield "an SVG image", Row(svg_image, again("<svg ", "<svg "))
    library = "<script>plotly.js v1</script>"
    for name, worst in {
        "scripts from elsewhere": again("<script src= "),
        "scripts with MathJax": again("<script src=mathjax> "),
        "MathJax": again("<script src=mathjax></script>"),
        "Bokeh": again("Bokeh ", "<script>"),
        "meta": again("<meta ", library),
        "links": again("<link>", library),
        "heights": again("height ", library),
        "spaces": again(" ", library + "<script src"),
        "actions": again("< ", library),
        "ends": again("</script ", "<script>"),
    }.items():
        yield f"charts: {name}", Row(framed, worst)


def localcloud_rows() -> Iterator[tuple[str, Row]]:
    """Yield the inputs of `localcloud submit` from a repository."""
    from localcloud.cli.submit.ignoring import IgnoreRules

    def ignored(lines: list[str], path: str) -> bool:
        return IgnoreRules(lines).ignored(path, folder=False)

    yield (
        "ignore rules: folders",
        Row(lambda path: ignored(["**/a/" * 8 + "b"], path), again("a/", after="c"), 100, 10_000),
    )
    yield "ignore rules: stars", Row(lambda path: ignored(["*a" * 20 + "*b"], path), again("a"))
    yield "ignore rules: spaces", Row(lambda line: ignored([line], "a"), again(" ", "a", "b"))
    yield "ignore rules: backslashes", Row(lambda line: ignored([line], "a"), again("\\", "a", "b"))


TABLE = dict(rows())
# The first row of each reader, which `make test` reads.
SAMPLE = {name.partition(":")[0]: name for name in reversed(TABLE)}.values()


def fastest(row: Row, size: int, *clocks: Callable[[], float], times: int, enough: float = 0.0) -> float:
    """Return the least of the seconds that several readings take, by whichever clock says least.

    A reader may refuse the text; any other error ends the process, and the row fails. No reading follows one that took
    at most `enough` seconds.
    """
    given = row.worst(size)
    best = float("inf")
    for _ in range(times):
        if best <= enough:
            break
        began = [clock() for clock in clocks]
        try:
            row.read(given)
        except REFUSALS:
            pass
        except ValueError as error:
            if not any(limit in str(error) for limit in LIMITS):
                raise
        best = min(best, *(clock() - then for clock, then in zip(clocks, began, strict=True)))
    return best


def most(row: Row, size: int, small: float) -> float:
    """Return the seconds that an input of this size may take where the small one took `small`."""
    grown: float = (size / row.small) ** GROWTH
    return min(LEAVES, grown * max(small, FLOOR))


def middle(row: Row) -> int:
    """Return the size between the small and the large one: 10 KB."""
    return int((row.small * row.large) ** 0.5)


def measure() -> None:
    """Read the names of rows from standard input; write the three times of each as a line of JSON."""
    for line in sys.stdin:
        row = TABLE[line.rstrip("\n")]
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + MAX_SECONDS, hard))
        real, own = time.perf_counter, time.process_time
        fastest(row, row.small, real, times=1)  # what is imported or compiled at the first use
        small = fastest(row, row.small, real, times=9)
        # The system may count a process's own time in steps, the real time holds what others do meanwhile.
        sizes = middle(row), row.large
        larger = [fastest(row, size, real, own, times=3, enough=most(row, size, small)) for size in sizes]
        print(json.dumps((small, *larger)), flush=True)


class Measuring:
    """The process that reads. Where it was ended, the next row gets a new one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def times(self, name: str) -> tuple[float, ...] | None:
        """Return the seconds for the small, the middle and the large input; None where the process was ended."""
        if self._process is None:
            command = [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                "from tests.unit import test_growth; test_growth.measure()",
            ]
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(name + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            self.end()
            return None
        return tuple(json.loads(line))

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="module")
def measuring() -> Iterator[Measuring]:
    made = Measuring()
    yield made
    made.end()


_TRIES = 8


def is_linear(name: str, times: tuple[float, ...] | None) -> bool:
    row = TABLE[name]
    if times is None:
        return False
    small, *larger = times
    return all(
        took <= most(row, size, small) for took, size in zip(larger, (middle(row), row.large), strict=True)
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, id=f"row {n}", marks=() if name in SAMPLE else pytest.mark.exhaustive)
        for n, name in enumerate(TABLE)
        if name != "the measure: a square"
    ],
)
def test_reading_grows_with_the_size_of_what_is_read(measuring: Measuring, name: str) -> None:
    """One of the measurements shows it: what else runs on the machine only makes a time longer."""
    measured: list[tuple[float, ...] | None] = []
    while not measured or (not is_linear(name, measured[-1]) and len(measured) < _TRIES):
        measured.append(measuring.times(name))
    assert is_linear(name, measured[-1]), (name, measured)


def test_the_measure_sees_a_reader_that_grows_faster(measuring: Measuring) -> None:
    name = "the measure: a square"
    assert any(not is_linear(name, measuring.times(name)) for _ in range(_TRIES))


NOTEBOOK = json.dumps(
    {"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": {"name": "python3", "display_name": ""}}, "cells": [{"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": "1"}]}
)  # fmt: skip
# What a repository or a message can hold at its largest: the file that is replaced, or the option, and its text.
LARGEST = {
    "requirements": ("r.txt", "a" + " " * 1_000_000 + "!"),
    "notebook": ("a.ipynb", "[" * 10_000_000),
    "options": ("notebooks.yaml", "? " * 500_000),
    "parameters": ("p.yaml", "{" * 1_000_000),
    "globs": ("NB_INCLUDE", "**/*a*/" * 100 + "b"),
    "templates": ("NB_SCHEDULE_PARAMETERS", json.dumps({"a": "{today" + "+1d" * 30_000})),
    "message": ("NB_EVENT", '{"a":' * 20_000),
}


@pytest.mark.always(2)
@pytest.mark.parametrize("name", LARGEST)
def test_no_text_keeps_the_builder_from_hearing_a_signal(tmp_path: Path, name: str) -> None:
    """A signal is heard after the text: within two seconds of the processor's time, beside what the start takes."""
    place, text = LARGEST[name]
    files = {"r.txt": "a\n", "a.ipynb": NOTEBOOK, "p.yaml": "a: 1\n", "a" * 200 + ".txt": ""}
    options = {
        "NB_NOTEBOOKS": "a.ipynb",
        "NB_REQUIREMENTS": "r.txt",
        "NB_PARAMETERS_FILE": "p.yaml",
        "NB_GCS_LOCATION": "gs://nb-test/ci",
        "PATH": "/usr/bin:/bin",
    }
    (options if place.startswith("NB_") else files)[place] = text
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    command = [sys.executable, str(ROOT / "entrypoint.py"), "plan"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=tmp_path, env=options, capture_output=True, timeout=PATIENCE, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 2, done.stdout + done.stderr
    assert after.ru_utime - before.ru_utime < START + LEAVES
