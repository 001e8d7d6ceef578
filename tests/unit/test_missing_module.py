"""A notebook for which the VM lacks a module is told what to install or stage, not to correct its cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.judge.missing_module import missing_module_advice
from builder.model import CellFailure
from builder.plan.workspace import Workspace
from tests.unit.git_repo import repository

OWN = {"helper": "lib/helper.py", "beside": "books/beside.py"}


def advice(error: str, source: str = "", *installed: str, line: int | None = None) -> str | None:
    failure = CellFailure(cell=1, cells=1, source=source, line=line, error=error, traceback="")
    return missing_module_advice(failure, own=OWN, staged={"books/beside.py"}, installed=installed)


def missing(module: str) -> str:
    return f"ModuleNotFoundError: No module named '{module}'"


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("pandas", "pandas"),
        ("matplotlib", "matplotlib"),
        ("sklearn", "scikit-learn"),
        ("cv2", "opencv-python-headless"),
        ("yaml", "PyYAML"),
        ("PIL", "pillow"),
        ("google.cloud.bigquery", "google-cloud-bigquery"),
        ("google.cloud.bigquery_storage_v1", "google-cloud-bigquery-storage"),
        ("google.cloud.secretmanager", "google-cloud-secret-manager"),
        ("google.protobuf", "protobuf"),
        ("pandas_gbq", "pandas-gbq"),
    ],
)
def test_a_missing_module_names_its_package(module: str, package: str) -> None:
    assert advice(missing(module)) == (
        f"The VM's Python has no {module}: add {package} to NB_REQUIREMENTS, or use an image family that has it "
        "(docs/packages.md)."
    )


@pytest.mark.parametrize(
    ("error", "source", "line"),
    [
        pytest.param(missing("google"), "from google.cloud import bigquery", 1, id="no namespace"),
        pytest.param(missing("google.cloud"), "x = 1\nimport google.cloud.bigquery as b", 2, id="half of it"),
        pytest.param(
            missing("google"), "x = 1\nfrom google.cloud import bigquery", None, id="line not known"
        ),
        pytest.param(
            "ImportError: cannot import name 'bigquery' from 'google.cloud' (unknown location)",
            "from google.cloud import bigquery",
            1,
            id="another package's namespace",
        ),
    ],
)
def test_googles_packages_are_distinguished(error: str, source: str, line: int | None) -> None:
    told = advice(error, source, line=line)
    assert told is not None
    assert "add google-cloud-bigquery to NB_REQUIREMENTS" in told


@pytest.mark.parametrize("module", ["src", "helpers", "nump", "my_company_lib"])
def test_a_name_that_no_known_package_has_is_not_to_be_installed(module: str) -> None:
    """Somebody else may have a package of that name in the index."""
    assert advice(missing(module)) == (
        f"The VM's Python has no {module}. If it is a module of the repository, add its file to NB_INCLUDE. If it belongs to a package, add "
        "that one to NB_REQUIREMENTS."
    )


def test_a_module_of_the_repository_is_to_be_staged() -> None:
    assert advice(missing("helper.deep")) == (
        "helper is lib/helper.py of this repository, which is not staged. Add it to NB_INCLUDE."
    )


def test_a_staged_module_that_python_does_not_find_is_no_package() -> None:
    told = advice(missing("beside"))
    assert told is not None
    assert told.startswith("books/beside.py is staged, but not where Python looks for beside")


@pytest.mark.parametrize(
    ("error", "installed"),
    [
        pytest.param("ValueError: No module named 'pandas'", (), id="another error"),
        pytest.param(missing("pandas.core.magic"), (), id="a part of an installed package"),
        pytest.param(missing("tkinter"), (), id="the standard library's"),
        pytest.param(missing("sklearn"), ("Scikit_Learn==1.5",), id="installed, for another kernel"),
        pytest.param(missing("google"), (), id="cannot be told"),
    ],
)
def test_a_failure_that_no_package_fixes_keeps_its_advice(error: str, installed: tuple[str, ...]) -> None:
    assert advice(error, "import google", *installed) is None


def test_a_workspace_knows_its_modules(tmp_path: Path) -> None:
    repository(tmp_path, "lib/helper.py", "lib/pack/__init__.py", "books/a.ipynb")
    assert Workspace(tmp_path).python_modules() == {"helper": "lib/helper.py", "pack": "lib/pack/__init__.py"}


def test_without_a_repository_none_is_known(tmp_path: Path) -> None:
    (tmp_path / "helper.py").touch()
    assert Workspace(tmp_path).python_modules() == {}


@pytest.mark.parametrize("module", ["pandas", "acme_rides"])
def test_a_module_that_a_cell_tried_to_install_names_the_cell(module: str) -> None:
    failure = CellFailure(cell=2, cells=2, source="", line=None, error=missing(module), traceback="")
    found = missing_module_advice(failure, own=OWN, staged=(), installed=(), pip_cell=1)
    assert found is not None
    assert found.startswith(
        "Cell 1 installs packages, but not this one for this kernel. The VM's Python has no "
    )
    assert "NB_REQUIREMENTS" in found
