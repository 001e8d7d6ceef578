"""The advice for common errors, from real failures of real kernels."""

from __future__ import annotations

import pytest

from .notebook_runs import Book, run_once
from .vm_fixture import VmFixture

FAILURES = {
    "missing_file": (
        ("open('data/rides.csv')",),
        "If rides.csv lies elsewhere in the repository, add it to NB_INCLUDE",
    ),
    "memory": (("bytearray(10**15)",), "NB_MACHINE_TYPE is e2-standard-4"),
    "windows": (("%%bash\r\nset -e\r\ncd /\r\n",), "Windows line ends"),
    "module": (("import sklearn",), "scikit-learn"),
    "pip": (
        ("!pip install --no-index scikit-learn", "import sklearn"),
        "Cell 1 installs packages, but not this one for this kernel",
    ),
    "worker": (
        (
            "import os\nfrom concurrent.futures import ProcessPoolExecutor",
            "with ProcessPoolExecutor(1) as pool:\n    pool.submit(os._exit, 9).result()",
        ),
        "Use fewer (n_jobs, max_workers)",
    ),
    "pickle": (
        (
            "from multiprocessing import get_context",
            "with get_context('spawn').Pool(1) as pool:\n    pool.map(lambda x: x, [1])",
        ),
        "module beside the notebook",
    ),
}


@pytest.mark.parametrize("name", list(FAILURES))
def test_it_names_what_helps(
    vm_fixture: VmFixture, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    books = {key: Book(cells) for key, (cells, _) in FAILURES.items()}
    ran = run_once(tmp_path_factory, vm_fixture, "advice", books)[name]
    verdict = ran.verdict()
    assert verdict.reason == "cell_failed", (verdict, ran.log)
    assert FAILURES[name][1] in verdict.advice, (verdict, ran.log)
