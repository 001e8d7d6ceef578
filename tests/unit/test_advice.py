"""The advice for common errors of cells; tests/vm/test_advice.py has those that need no service, as real failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from google.api_core import exceptions

from builder.judge.advice import advice_for
from builder.model import CellFailure
from builder.plan.packing import StagedFile
from tests.unit.good_attempt import code, expected_of, input_json, notebook_json, read

STAGED = tuple(
    StagedFile(path, Path(path), size=0, executable=False) for path in ("rides/demo.ipynb", "data/rides.csv")
)
_EXPECTED = expected_of(read(input_json()), {})
EXPECTED = replace(_EXPECTED, job=replace(_EXPECTED.job, files=STAGED))


def advice(error: str) -> str | None:
    return advice_for(CellFailure(2, 6, "", None, error, ""), EXPECTED)


def raised(error: Exception) -> str:
    """As a cell's error output has it."""
    return f"{type(error).__name__}: {error}"


ACCESS = "notebook-vm@my-project.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(
            raised(exceptions.Forbidden("POST https://localhost/bigquery/v2/projects/p/jobs: Access Denied: Project p: User does not have bigquery.jobs.create permission in project p.")),
            f"Grant {ACCESS} roles/bigquery.jobUser",
            id="jobs",
        ),
        pytest.param(
            "%%bigquery: " + raised(exceptions.Forbidden("Access Denied: Table p:d.t: User does not have permission to query table p:d.t")),
            f"Grant {ACCESS} roles/bigquery.dataViewer on the dataset",
            id="table",
        ),
        pytest.param(
            raised(exceptions.Forbidden(f"GET https://localhost/storage/v1/b/b/o/x: {ACCESS} does not have storage.objects.get access to the object.")),
            f"Grant {ACCESS} roles/storage.objectViewer on the bucket",
            id="object",
        ),
        pytest.param(raised(exceptions.PermissionDenied("nothing more")), f"runs as {ACCESS}", id="other"),
        pytest.param(raised(exceptions.TooManyRequests("Exceeded rate limits")), "quota or rate limit", id="quota"),
        pytest.param("OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB", "The GPU's memory", id="CUDA"),
        pytest.param("_ArrayMemoryError: Unable to allocate 9 TiB", "NB_MACHINE_TYPE is e2-standard-4", id="numpy"),
        pytest.param("FileNotFoundError: [Errno 2] No such file or directory: 'rides.csv'", "data/rides.csv is staged. Paths count from the notebook's folder, rides/", id="staged elsewhere"),
        pytest.param("FileNotFoundError: [Errno 2] No such file or directory: 'stations.csv'", "add it to NB_INCLUDE", id="not staged"),
        pytest.param("!pip install pandas ended with exit code 1", "List the packages in NB_REQUIREMENTS", id="!pip"),
        pytest.param("!/usr/bin/python3 -m pip install pandas ended with exit code 1", "List the packages in NB_REQUIREMENTS", id="%pip"),
        pytest.param("TerminatedWorkerError: A worker process managed by the executor was unexpectedly terminated.", "each worker has its own copy of the data", id="loky"),
        pytest.param("AttributeError: Can't get attribute 'load' on <module '__main__' (built-in)>", "module beside the notebook", id="spawned worker"),
        pytest.param("ImportError: Cannot load backend 'TkAgg' which requires the 'tk' interactive framework, as 'headless' is currently running", "%matplotlib inline", id="no display"),
        pytest.param("RuntimeError: 'widget' is not a recognised GUI loop or backend name", "%matplotlib inline", id="widget backend"),
        pytest.param("ModuleNotFoundError: No module named 'tkinter'", "%matplotlib inline", id="tkinter"),
        pytest.param(r"FileNotFoundError: [Errno 2] No such file or directory: 'data\\rides.csv'", r"'data\\rides.csv' has a backslash", id="backslash"),
    ],
)  # fmt: skip
def test_a_family_has_its_advice(error: str, words: str) -> None:
    found = advice(error)
    assert found is not None
    assert words in found


@pytest.mark.parametrize("error", ["KeyError: 'memory'", "ZeroDivisionError: division by zero"])
def test_any_other_error_has_none(error: str) -> None:
    assert advice(error) is None


@pytest.mark.parametrize(
    "source",
    [
        "%pip install -U numpy",
        "!pip3 -q install numpy",
        "x = 1\n!uv pip install numpy",
        "%conda install numpy",
    ],
    ids=["%pip", "!pip3", "uv", "conda"],
)
@pytest.mark.parametrize(
    "error",
    [
        "ImportError: cannot import name 'trapezoid' from 'numpy' (/usr/lib/numpy/__init__.py)",
        "AttributeError: module 'numpy' has no attribute 'trapezoid'",
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility.",
    ],
    ids=["name", "attribute", "binary"],
)
def test_packages_that_a_cell_installs_come_too_late(source: str, error: str) -> None:
    expected = expected_of(read(notebook_json(code(1, source), code(2, "1"), code(3, source))), {})
    found = advice_for(CellFailure(2, 3, "", None, error, ""), expected)
    assert found is not None
    assert found.startswith("Cell 1 installs packages while the kernel runs")
    assert advice_for(CellFailure(2, 3, "", None, "KeyError: 'numpy'", ""), expected) is None


def test_a_cell_that_installs_nothing_is_not_named() -> None:
    cells = (code(1, "# pip install numpy\nprint('!pip install numpy')"), code(2, "1"))
    expected = expected_of(read(notebook_json(*cells)), {})
    error = "AttributeError: module 'numpy' has no attribute 'trapezoid'"
    assert advice_for(CellFailure(2, 2, "", None, error, ""), expected) is None
