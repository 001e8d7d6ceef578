"""junit.xml: a test suite for each notebook and a test case for each code cell, for programs that show test results."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from builder.act.result import JobResult
from builder.errors import ExitCode
from builder.model import CellFailure, CellRun, CellState
from builder.plain_text import plain
from builder.report.run_report import RunReport, shown_parameters

# Characters that XML 1.0 cannot hold, https://www.w3.org/TR/xml/#charsets. `plain` has removed most of them.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOTEBOOKS = frozenset({ExitCode.NOTEBOOK_FAILED, ExitCode.TIME_LIMIT})


def render_junit(report: RunReport) -> bytes:
    """Return the document. A red verdict that no cell explains is a test case of its own, named `verdict`."""
    root = ET.Element("testsuites", name=_text(report.result.run))
    for job in report.result.jobs:
        root.append(_suite(report, job))
    if report.result.trouble:
        root.append(_run_suite(report.result.trouble))
    for count in ("tests", "failures", "errors"):  # common schemas have no `skipped` here
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    root.set("time", f"{report.result.seconds:.3f}")
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _suite(report: RunReport, job: JobResult) -> ET.Element:
    suite = ET.Element("testsuite", name=_text(job.job), time=f"{job.seconds:.3f}")
    if report.result.began:
        suite.set("timestamp", report.result.began.partition("+")[0])
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report, job).items():
        ET.SubElement(properties, "property", name=_text(name), value=_text(value))
    cases = [_cell_case(job, cell) for cell in job.cells]
    if not job.verdict.green and not any(cell.state is CellState.FAILED for cell in job.cells):
        cases.append(_verdict_case(job))
    suite.extend(cases)
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    suite.set("tests", str(len(cases)))
    for count, tag in kinds.items():
        suite.set(count, str(sum(case.find(tag) is not None for case in cases)))
    return suite


def _run_suite(trouble: str) -> ET.Element:
    """Return the suite that holds an error of the run itself."""
    suite = ET.Element(
        "testsuite", name="run", tests="1", errors="1", failures="0", skipped="0", time="0.000"
    )
    case = ET.SubElement(suite, "testcase", classname="run", name="verdict", time="0.000")
    ET.SubElement(case, "error", type="run", message=_text(trouble))
    return suite


def _properties(report: RunReport, job: JobResult) -> dict[str, str]:
    known = {
        "notebook": job.notebook,
        "run": report.result.run,
        "commit": report.commit,
        "build": report.build,
        "results": job.output,
        "image": job.image,
        "reused from run": job.reused.run if job.reused else "",
        **{f"parameter {name}": str(value) for name, value in shown_parameters(job.parameters).items()},
    }
    return {name: value for name, value in known.items() if value}


def _cell_case(job: JobResult, cell: CellRun) -> ET.Element:
    count = "" if cell.count is None else f" [{cell.count}]"
    name = f"cell {cell.number}{count}" if cell.number else f"parameters{count}"
    title = f"{name}: {cell.title}" if cell.title else name
    case = ET.Element(
        "testcase", classname=_text(job.job), name=_text(title), time=f"{cell.seconds or 0.0:.3f}"
    )
    if cell.state is CellState.FAILED:
        case.append(_failure(job, "failure"))
    elif cell.state in {CellState.SKIPPED, CellState.NOT_RUN}:
        ET.SubElement(case, "skipped", message=cell.state.value)
    if cell.text:
        ET.SubElement(case, "system-out").text = _text(cell.text)
    return case


def _verdict_case(job: JobResult) -> ET.Element:
    case = ET.Element("testcase", classname=_text(job.job), name="verdict", time="0.000")
    case.append(_failure(job, "failure" if job.verdict.exit_code in _NOTEBOOKS else "error"))
    return case


def _failure(job: JobResult, tag: str) -> ET.Element:
    verdict = job.verdict
    found = ET.Element(tag, type=_text(verdict.reason), message=_text(verdict.message))
    details = [_place(verdict.failure), verdict.failure.traceback] if verdict.failure else []
    found.text = _text("\n".join(part for part in (*details, verdict.message, verdict.advice) if part))
    return found


def _place(failure: CellFailure) -> str:
    """Return the line of the cell that failed, with its number."""
    lines = failure.source.splitlines()
    known = failure.line is not None and 0 < failure.line <= len(lines)
    return f"line {failure.line}: {lines[(failure.line or 1) - 1].strip()}" if known else ""


def _text(text: str) -> str:
    return _NOT_XML.sub("", plain(text))
