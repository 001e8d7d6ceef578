"""Writes the report files of a finished run below results/<run>/.

A new format is one line in `FORMATS` and one module.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from builder.act.result import RunResult
from builder.errors import TRACEBACK_IN_LOG
from builder.ports import CallFailed, ObjectStore
from builder.report.index import render_index
from builder.report.junit import render_junit
from builder.report.markdown import render_markdown
from builder.report.run_report import RunReport

_logger = logging.getLogger(__name__)
PAGE = "index.html"


# Each file's name, its content type, and the function that returns its bytes. Each is complete by itself.
FORMATS = (
    (PAGE, "text/html; charset=utf-8", render_index),
    ("junit.xml", "application/xml", render_junit),
    ("summary.md", "text/markdown; charset=utf-8", render_markdown),
)


def write_files(report: RunReport, store: ObjectStore, log: Callable[[str], None]) -> RunResult:
    """Write each format, and return the run's result, with the page's address if the page was written.

    A format that fails is logged. The verdict does not depend on it.
    """

    def write(name: str, content_type: str, render: Callable[[RunReport], bytes]) -> bool:
        target = report.location.object("results", report.result.run, name)
        try:
            store.replace(target, render(report), content_type=content_type)
        except CallFailed as failure:
            log(f"warning: {name} could not be written: {failure}")
        # A page shows the text of any notebook. A bug in rendering it must not change the verdict.
        except Exception:
            _logger.exception("a bug in Notebook Builder: %s", name)
            log(f"warning: {name} was not written because of a bug in Notebook Builder. {TRACEBACK_IN_LOG}")
        else:
            return True
        return False

    with ThreadPoolExecutor(max_workers=len(FORMATS), thread_name_prefix="report") as pool:
        written = {form[0]: pool.submit(write, *form) for form in FORMATS}
    if not written[PAGE].result():
        return report.result
    return replace(report.result, page=f"{report.folder}/{PAGE}")
