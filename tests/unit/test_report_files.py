"""The files of a run's report: what they show, that no text of a notebook becomes active, and their bounds."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import junitparser
import pytest

from builder.act.proofs import Origin
from builder.act.result import Event, JobResult, LeftVm, VmTime
from builder.errors import ExitCode
from builder.model import CellRun, CellState, GcsLocation, Verdict
from builder.report.comment import reported
from builder.report.folder_page import folders
from builder.report.history import MAX_JOBS, MAX_RUNS, decode, with_run
from builder.report.index import cell_bars, render_index
from builder.report.junit import render_junit
from builder.report.markdown import MAX_CHARACTERS, code, fence, render_markdown
from builder.report.run_report import PastRun, RunReport, browser_url
from builder.report.summary import MAX_BUILD_OUTPUT, render_summary, write_build_output
from tests.unit.junit_format import junit_faults
from tests.unit.sample_reports import GREEN, LOST, RED, SOURCE, cells, job, large, report
from tests.vm.hostile import payloads

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/summary.schema.json").read_text())
MIXED = report(job("demo", GREEN), job("bad", RED), job("lost", LOST), code=ExitCode.NOTEBOOK_FAILED)


def text_of(of: RunReport) -> str:
    """The text of the page's body, without its elements and with single blanks."""
    body = render_index(of).decode().partition("<body>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def suites(of: RunReport) -> list[junitparser.TestSuite]:
    """Return the suites of junit.xml, which has no fault."""
    document = render_junit(of)
    assert junit_faults(document) == []
    return list(junitparser.JUnitXml.fromstring(document))


def hostile_job(text: str) -> JobResult:
    """A red job that has the text wherever a notebook, its VM or its author can put text."""
    failure = replace(RED.failure, source=f"{SOURCE}{text}", error=text, traceback=text)  # type: ignore[type-var]
    verdict = Verdict(ExitCode.NOTEBOOK_FAILED, "cell_failed", f"failed: {text}", text, failure)
    cell = CellRun(1, CellState.FAILED, 1, 1.0, text, text)
    return job(
        "bad",
        verdict,
        parameters={"p": text, text: [text]},
        cells=(cell,),
        packages=(text,),
        kernel=text,
        python=text,
        notebook=text,
        files=("bad.ipynb", "bad.html", f"outputs/{text}"),
    )


def hostile_report(text: str) -> RunReport:
    return report(hostile_job(text), code=ExitCode.NOTEBOOK_FAILED, commit=text, build=text)


# junit.xml


def test_junit_has_a_suite_for_each_notebook_and_a_case_for_each_cell() -> None:
    green, red, lost = suites(MIXED)
    assert [suite.name for suite in (green, red, lost)] == ["demo", "bad", "lost"]
    assert [case.name for case in green] == [
        "parameters [1]: # Parameters",
        *(f"cell {number} [{number + 1}]: step_{number}()" for number in range(1, 6)),
    ]
    assert (green.tests, green.failures, green.errors, green.skipped) == (6, 0, 0, 0)
    assert [case.time for case in green][1:3] == [0.1, 2.5]
    assert next(iter(green)).classname == "demo"
    assert [case.system_out for case in green][1] == "printed by cell 1\n"


def test_junit_has_the_failure_at_its_cell_and_skips_the_cells_after_it() -> None:
    _, red, _ = suites(MIXED)
    assert (red.tests, red.failures, red.errors, red.skipped) == (6, 1, 0, 2)
    failed = list(red)[3]
    (failure,) = failed.result
    assert (failure.type, failure.message) == ("cell_failed", "cell 3 of 5 failed: AssertionError: no rides")
    assert 'line 4: assert day.total.min() > 0, "no rides"' in failure.text
    assert "Correct the cell." in failure.text


def test_junit_has_a_verdict_case_where_no_cell_explains_a_red_job() -> None:
    _, _, lost = suites(MIXED)
    assert [case.name for case in lost] == ["verdict"]
    assert (lost.tests, lost.failures, lost.errors) == (1, 0, 1)
    missing = Verdict(ExitCode.NOTEBOOK_FAILED, "output_missing", "no output matches", "Write it.")
    (suite,) = suites(report(job("demo", missing, cells=cells()), code=ExitCode.NOTEBOOK_FAILED))
    assert (suite.tests, suite.failures, suite.errors) == (7, 1, 0)


def test_junit_counts_over_all_suites() -> None:
    found = junitparser.JUnitXml.fromstring(render_junit(MIXED))
    assert (found.tests, found.failures, found.errors) == (13, 1, 1)
    assert [suite.skipped for suite in suites(MIXED)] == [0, 2, 0]


def test_junit_says_why_a_run_is_red_whose_notebooks_are_green() -> None:
    trouble = replace(MIXED.result, jobs=[job("demo", GREEN)], trouble="the summary could not be written")
    demo, run = suites(replace(MIXED, result=trouble))
    assert demo.errors == 0
    (error,) = next(iter(run)).result
    assert error.message == "the summary could not be written"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("]]><x a='&amp;\">", id="markup"),
        pytest.param("a\x00b\x0bc\x1b[31md\ufffe\uffff", id="characters that XML lacks"),
        pytest.param("\ud800 \udfff", id="surrogates"),
    ],
)
def test_junit_is_well_formed_for_any_text(text: str) -> None:
    (suite,) = suites(hostile_report(text))
    assert suite.failures == 1


def test_junit_keeps_to_the_format_for_each_payload_and_for_a_large_run() -> None:
    for text in payloads("alert(1)", "http://127.0.0.1:9"):
        (suite,) = suites(hostile_report(text))
        assert suite.failures == 1
    assert len(suites(large(20, red=9))) == 20


GOOD = b"""<testsuites tests="1"><testsuite name="a" tests="1" failures="0" errors="0" timestamp="2026-11-29T06:00:00">
<testcase classname="a" name="b" time="0.100"><system-out>text</system-out></testcase></testsuite></testsuites>"""


def test_a_document_that_keeps_to_the_format_has_no_faults() -> None:
    assert junit_faults(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param(
            "<testsuites tests",
            "<testsuites skipped='0' tests",
            "testsuites has no attribute skipped",
            id="root",
        ),
        pytest.param(' errors="0"', "", "testsuite lacks errors", id="lacks"),
        pytest.param(
            'tests="1" failures', 'tests="2" failures', "testsuite tests is 2, and there are 1", id="count"
        ),
        pytest.param(
            "06:00:00", "06:00:00Z", "testsuite timestamp is '2026-11-29T06:00:00Z'", id="time zone"
        ),
        pytest.param("0.100", "1e-05", "testcase time is '1e-05'", id="exponent"),
        pytest.param(
            "<system-out>", "<failure/><error/><system-out>", "testcase has two results", id="two results"
        ),
        pytest.param("system-out", "output", "testcase holds output", id="element"),
        pytest.param("<testcase", "text<testcase", "testsuite holds text", id="text"),
        pytest.param('name="b"', 'name=""', "testcase name is ''", id="no name"),
        pytest.param(
            "</testcase>",
            "</testcase><properties/>",
            "testsuite holds testcase, properties in this order",
            id="order",
        ),
    ],
)
def test_a_document_that_does_not_keep_to_the_format_has_a_fault(old: str, new: str, fault: str) -> None:
    assert fault in junit_faults(GOOD.decode().replace(old, new).encode())


# summary.md


def test_markdown_names_verdict_reason_line_and_what_to_do() -> None:
    text = render_markdown(MIXED).decode()
    assert text.startswith("### ❌ RED: 1 of 3 notebooks green, after 1 min 3 s\n")
    assert "**`bad`**: `cell 3 of 5 failed: AssertionError: no rides`" in text
    assert '>   4  assert day.total.min() > 0, "no rides"' in text
    assert "`Correct the cell. The executed notebook has its whole output.`" in text
    assert "https://storage.cloud.google.com/acme-notebooks/ci/results/run-1/index.html" in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split(" | ")[0] for row in rows] == ["| `bad`", "| `lost`", "| `demo`"]


def test_markdown_of_a_green_run_is_short() -> None:
    text = render_markdown(report(job("demo", GREEN))).decode()
    assert text.startswith("### ✅ GREEN: 1 of 1 notebooks green")
    assert len(text.splitlines()) < 10


def test_markdown_has_as_many_rows_as_fit() -> None:
    text = render_markdown(large(2000, red=0)).decode()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len("\n".join(rows)) > MAX_CHARACTERS - 2000
    assert text.splitlines()[-2:][0] == ""
    assert text.splitlines()[-1].startswith("… The rest is in the [report]")


def test_markdown_stays_within_a_comment() -> None:
    text = render_markdown(large(200, red=200)).decode()
    assert len(text) <= MAX_CHARACTERS + 200
    assert "… and 180 more in red." in text


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("plain", "`plain`"),
        ("a`b", "``a`b``"),
        pytest.param("`a`", "`` `a` ``", id="at the edges"),
        pytest.param("@team #1 <img>", "`@team #1 <img>`", id="mention"),
        pytest.param("a\nb", "`a`", id="two lines"),
    ],
)
def test_code_spans_hold_any_text(text: str, span: str) -> None:
    assert code(text) == span


def test_a_fence_is_longer_than_the_backticks_within() -> None:
    assert fence("a\n````\nb", "text") == "`````text\na\n````\nb\n`````\n"


def test_markdown_quotes_every_text_of_a_notebook() -> None:
    """Outside of code spans and fences, nothing of the corpus is left."""
    for text in payloads():
        shown = render_markdown(hostile_report(text)).decode()
        bare = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", shown)
        bare = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", bare)
        assert not re.search(r"<[a-zA-Z/!]|javascript:|evil\.example", bare), bare


# index.html


def test_page_loads_nothing_and_runs_nothing() -> None:
    page = render_index(MIXED).decode()
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in page
    assert not re.search(r"<(script|img|link|iframe|object|form)|\sstyle=|\son\w+=|url\(|@import", page)
    addresses = re.findall(r'href="([^"]*)"', page)
    assert addresses
    assert not [address for address in addresses if ":" in address or address.startswith("/")]


def test_page_shows_the_failure_its_line_and_the_links() -> None:
    page = render_index(MIXED).decode()
    assert "cell 3 of 5 failed: AssertionError: no rides" in page
    assert re.search(r'marked"><span class="number">   4</span> assert day\.total\.min\(\) &gt; 0', page)
    assert 'href="bad/bad.html"' in page
    assert 'href="bad/outputs/a%20b.png"' in page
    assert page.index('id="job-bad"') < page.index('id="job-demo"'), "red notebooks come first"


def test_page_links_to_a_days_folder_relatively() -> None:
    demo = job("demo", GREEN, output="gs://acme-notebooks/ci/versions/2026-11-29/demo/")
    page = render_index(report(demo, day=date(2026, 11, 29))).decode()
    assert 'href="../../versions/2026-11-29/demo/demo.html"' in page
    assert 'href="../../versions/2026-11-29/index.html"' in page


def test_page_names_every_attempt_with_its_zone_and_every_zone_that_was_asked() -> None:
    vms = (
        VmTime(1, "nb-first", "us-central1-a", "e2-standard-4", "SPOT", 90.0),
        VmTime(2, "nb-second", "us-east1-b", "e2-standard-4", "STANDARD", 44.0),
    )
    asked = "no VM in us-central1-c: ZONE_RESOURCE_POOL_EXHAUSTED"
    page = text_of(report(job("demo", GREEN, attempts=2, vms=vms, events=(Event(0.4, asked),))))
    assert "41.5 s, 2 attempts" in page
    assert "VM of attempt 1 nb-first: e2-standard-4 (Spot) in us-central1-a, 1 min 30 s" in page
    assert "VM of attempt 2 nb-second: e2-standard-4 in us-east1-b, 44 s" in page
    assert f"0.4 s {asked}" in page
    assert "e2-standard-4 44 s of VM time e2-standard-4 (Spot) 1 min 30 s of VM time" in page


def test_page_names_commit_build_verdict_parameters_and_environment() -> None:
    demo = job("demo", GREEN, parameters={"zone": "z", "limit": 10, "areas": ["a", None], "day": "2026"})
    page = text_of(report(demo))
    assert "GREEN 1 of 1 notebooks green run run-1 commit 0123456789ab build b1 began" in page
    assert 'zone "z" limit 10 areas ["a", null] day "2026"' in page, "in the order of the plan"
    assert "notebook reports/demo.ipynb" in page
    assert "image projects/deeplearning-platform-release/global/images/common-cpu-v20261101" in page
    assert "Python 3.12.3 kernel python3" in page
    assert "packages installed for it pandas==3.0.1, bigquery-magics==0.16.0" in page


def test_page_names_vms_that_may_be_left() -> None:
    vm = LeftVm("nb-1", "us-central1-a", "", 600, "gcloud compute instances delete nb-1")
    page = render_index(replace(MIXED, result=replace(MIXED.result, left=[vm]))).decode()
    assert "gcloud compute instances delete nb-1" in page


def test_page_shows_earlier_runs() -> None:
    past = [PastRun("run-0", "2026-11-28T06:00:00+00:00", "red", 80.0)]
    page = render_index(report(job("demo", GREEN), history={"demo": past})).decode()
    assert "2026-11-28 06:00: red, 1 min 20 s (run-0)" in page
    assert "The last 2 runs" in page


def test_page_escapes_the_corpus() -> None:
    """Its elements are those of the same page with harmless text."""
    honest = set(re.findall(r"<([^ >]*)", render_index(hostile_report("text")).decode()))
    for text in payloads():
        page = render_index(hostile_report(text)).decode()
        assert set(re.findall(r"<([^ >]*)", page)) == honest, text
        assert "\x1b" not in page


def test_page_of_two_hundred_notebooks_is_bounded() -> None:
    assert len(render_index(large(200, red=3))) < 4_000_000


@pytest.mark.parametrize("prefix", ["", "ci"], ids=["whole bucket", "prefix"])
def test_the_pages_of_days_are_written_with_and_without_a_prefix(prefix: str) -> None:
    location = GcsLocation("b", prefix)
    of_day = job("demo", GREEN, output=location.url("versions/2018-04-07/demo") + "/")
    assert folders(report(of_day).result, location) == ["versions/2018-04-07"]


def test_a_matrix_counts_jobs() -> None:
    jobs = [replace(job(name, GREEN), notebook="demo.ipynb") for name in ("demo-a", "demo-b")]
    both = report(*jobs, replace(job("other", RED), notebook="other.ipynb"), code=ExitCode.NOTEBOOK_FAILED)
    assert "2 of 3 jobs green" in text_of(both)
    assert b"2 of 3 jobs green" in render_markdown(both)
    assert (
        reported("r", json.loads(render_summary(both.result, Origin())), "gs://b/results/r").description
        == "2 of 3 jobs green"
    )
    assert "1 of 1 notebooks green" in text_of(report(job("demo", GREEN)))


@pytest.mark.parametrize("count", [1, 40, 1000])
def test_bars_of_cells_fill_the_width(count: int) -> None:
    bars = cell_bars(cells(times=(0.5,) * (count - 1)))
    assert len(bars) == count
    assert bars[-1].x + bars[-1].width == pytest.approx(1000, abs=0.1)


# history.json


def test_history_keeps_the_last_runs_of_each_job() -> None:
    history: Any = {}
    for number in range(MAX_RUNS + 5):
        history = with_run(history, replace(report(job("demo", GREEN)).result, run=f"run-{number}"))
    assert [run.run for run in history["demo"]] == [f"run-{number}" for number in range(5, MAX_RUNS + 5)]


def test_history_forgets_the_jobs_that_ran_longest_ago() -> None:
    past = [PastRun("r", "", "green", 1.0)]
    old = {f"old-{number}": past for number in range(MAX_JOBS)}
    kept = with_run(old, report(job("demo", GREEN)).result)
    assert len(kept) == MAX_JOBS
    assert "old-0" not in kept
    assert {"old-1", "demo"} <= kept.keys()


def test_history_leaves_out_a_job_that_was_not_started() -> None:
    assert with_run({}, report(job("demo", LOST, attempts=0)).result) == {}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"schema": 2, "jobs": {}}', id="another schema"),
        pytest.param(b'{"schema": 1, "jobs": []}', id="a list"),
        pytest.param(b'{"schema": 1, "jobs": {"a": [{"run": "r"}]}}', id="a field is missing"),
        pytest.param(
            b'{"schema": 1, "jobs": {"a": [{"run": "r", "began": "", "verdict": "", "seconds": "1"}]}}',
            id="seconds as text",
        ),
    ],
)
def test_history_of_another_form_counts_as_none(raw: bytes) -> None:
    assert decode(raw) == {}


# summary.json


@pytest.mark.parametrize("sample", [MIXED, report(job("demo", GREEN))], ids=["mixed", "green"])
def test_summary_has_the_published_schema(sample: RunReport) -> None:
    jsonschema.validate(json.loads(render_summary(sample.result, Origin())), SCHEMA)


def test_build_output_is_the_summary(tmp_path: Path) -> None:
    write_build_output(MIXED.result, tmp_path, print, Origin())
    found = json.loads((tmp_path / "output").read_text())
    jsonschema.validate(found, SCHEMA)
    assert found.pop("jobs_left_out") == 0
    found["jobs"].sort(key=lambda item: ["demo", "bad", "lost"].index(item["job"]))
    assert found == json.loads(render_summary(MIXED.result, Origin()))


def test_build_output_keeps_the_red_jobs_within_its_limit(tmp_path: Path) -> None:
    write_build_output(large(600, red=3).result, tmp_path, print, Origin())
    content = (tmp_path / "output").read_bytes()
    found = json.loads(content)
    assert len(content) <= MAX_BUILD_OUTPUT
    assert [item["verdict"] for item in found["jobs"][:4]] == ["red", "red", "red", "green"]
    assert found["jobs_left_out"] == 600 - len(found["jobs"])


def test_build_output_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    said: list[str] = []
    write_build_output(MIXED.result, tmp_path / "none", said.append, Origin())
    assert said == ["warning: $BUILDER_OUTPUT/output could not be written: No such file or directory"]


def test_browser_addresses_are_quoted() -> None:
    assert browser_url("gs://b/a b/ü#?.html") == "https://storage.cloud.google.com/b/a%20b/%C3%BC%23%3F.html"
