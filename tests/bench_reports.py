"""Measures the files of a run's report by the number of notebooks: their size, and the CPU seconds to render them.

Each notebook has forty cells and twenty earlier runs; every tenth is red. The seconds are the least of five rounds
after one that loads the templates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from builder.act.proofs import Origin
from builder.report.index import render_index
from builder.report.junit import render_junit
from builder.report.markdown import render_markdown
from builder.report.run_report import RunReport
from builder.report.summary import render_summary
from tests.bench import tell
from tests.unit.sample_reports import large

SIZES = (1, 30, 200)  # notebooks
_ROUNDS = 5
FILES: dict[str, Callable[[RunReport], bytes]] = {
    "index.html": render_index,
    "junit.xml": render_junit,
    "summary.md": render_markdown,
    "summary.json": lambda report: render_summary(report.result, Origin()),
}


def main(sizes: Sequence[int] = SIZES) -> None:
    """Print the figures of each size."""
    for size in sizes:
        report = large(size, red=size // 10)
        for name, render in FILES.items():
            content = render(report)
            tell(f"{name} of {size} notebooks: size", len(content) / 1000, "kB")
            tell(f"{name} of {size} notebooks: rendering", _least(render, report), "CPU s")


def _least(render: Callable[[RunReport], bytes], report: RunReport) -> float:
    def once() -> float:
        before = time.process_time()
        render(report)
        return time.process_time() - before

    return min(once() for _ in range(_ROUNDS))


if __name__ == "__main__":
    main()
