"""Writes the report files of a finished run below results/<run>/.

A new format is one line in `FORMATS` and one module.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from builder.act.result import RunResult
from builder.ports import CallFailed, ObjectStore
from builder.report.index import render_index
from builder.report.junit import render_junit
from builder.report.markdown import render_markdown
from builder.report.run_report import RunReport

_logger = logging.getLogger(__name__)
PAGE = "index.html"


@dataclass(frozen=True)
class Format:
    """One report file: its name, its content type, and the function that returns its bytes.

    Each is complete by itself.
    """

    name: str
    content_type: str
    render: Callable[[RunReport], bytes]


FORMATS = (
    Format(PAGE, "text/html; charset=utf-8", render_index),
    Format("junit.xml", "application/xml", render_junit),
    Format("summary.md", "text/markdown; charset=utf-8", render_markdown),
)


def write_files(report: RunReport, store: ObjectStore, log: Callable[[str], None]) -> RunResult:
    """Write each format, and return the run's result, with the page's address if the page was written.

    A format that fails is logged. The verdict does not depend on it.
    """

    def write(form: Format) -> bool:
        name = report.location.object("results", report.result.run, form.name)
        try:
            store.replace(name, form.render(report), content_type=form.content_type)
        except CallFailed as failure:
            log(f"warning: {form.name} could not be written: {failure}")
        except Exception:  # a bug in a report is none of the run
            _logger.exception("a bug in Notebook Builder: %s", form.name)
            log(f"warning: {form.name} could not be made; the traceback stands above")
        else:
            return True
        return False

    with ThreadPoolExecutor(max_workers=len(FORMATS), thread_name_prefix="report") as pool:
        written = dict(zip((form.name for form in FORMATS), pool.map(write, FORMATS), strict=True))
    return replace(report.result, page=f"{report.folder}/{PAGE}") if written[PAGE] else report.result
