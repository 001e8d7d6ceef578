"""Judges the real output of papermill's command, which a made-up notebook could misrepresent.

The runner goes further: it forgives errors in cells tagged `raises-exception`, and names faults.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from builder.errors import ExitCode
from builder.judge.verdict import judge
from builder.model import Notebook, Verdict
from builder.plan.notebooks import read_notebook
from builder.vm.protocol import Evidence
from tests.unit.good_attempt import (
    Json,
    code,
    evidence_json,
    expected_of,
    listing_of,
    markdown,
    notebook_json,
)

# tests/e2e has the same notebooks on VMs.
ON_VMS_TOO = pytest.mark.exhaustive
NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def run(folder: Path, content: bytes, parameters: Json, *options: str) -> Verdict:
    """Execute this notebook with the papermill command and judge what it leaves, all else being well."""
    (folder / "outputs").mkdir()
    (folder / "demo.ipynb").write_bytes(content)
    (folder / "parameters.yaml").write_text(json.dumps(parameters))
    given = ("-f", "parameters.yaml") if parameters else ()
    argv = [sys.executable, "-W", "ignore", "-m", "papermill", "--no-progress-bar", *given, *options]
    done = subprocess.run([*argv, "demo.ipynb", "after.ipynb"], cwd=folder, capture_output=True, check=False)
    executed = (folder / "after.ipynb").read_bytes()
    notebook = read_notebook("demo.ipynb", content)
    assert isinstance(notebook, Notebook)
    facts = evidence_json(notebook, len(executed))
    facts["papermill"]["exit_code"] = done.returncode
    expected = expected_of(notebook, parameters, expect=())
    return judge(expected, Evidence.decode(json.dumps(facts).encode()), executed, listing_of(facts))


@pytest.mark.always(1)
@pytest.mark.parametrize(
    ("name", "parameters", "options", "reason", "message"),
    [
        pytest.param(
            "parameters",
            {"days": 7, "city": "$(rm -rf /); `x` \"'"},
            (),
            "green",
            "all 2 code cells",
            id="parameters",
        ),
        pytest.param("skips", {}, (), "green", "all 2 code cells", id="skips", marks=ON_VMS_TOO),
        pytest.param(
            "allowed_error",
            {},
            (),
            "notebook_failed",
            "papermill ended with exit code 1",
            id="allowed_error",
            marks=ON_VMS_TOO,
        ),
        pytest.param(
            "raises",
            {},
            (),
            "cell_failed",
            "cell 2 of 3 failed: ZeroDivisionError: division by zero",
            id="raises",
            marks=ON_VMS_TOO,
        ),
        pytest.param(
            "exits_early", {}, (), "stopped_early", "stopped at cell 2 of 3: SystemExit: 0", id="exits_early"
        ),
        pytest.param("kills_kernel_last", {}, (), "kernel_died", "the kernel died", id="kills_kernel_last"),
        pytest.param(
            "hangs",
            {},
            ("--execution-timeout", "1"),
            "cell_failed",
            "cell 2 of 3 failed: KeyboardInterrupt",
            id="hangs",
            marks=ON_VMS_TOO,
        ),
    ],
)
def test_the_verdict_on_what_papermill_leaves(  # noqa: PLR0917
    tmp_path: Path, name: str, parameters: Json, options: tuple[str, ...], reason: str, message: str
) -> None:
    verdict = run(tmp_path, (NOTEBOOKS / f"{name}.ipynb").read_bytes(), parameters, *options)
    assert verdict.reason == reason, verdict
    assert verdict.message.startswith(message)
    assert verdict.exit_code is (ExitCode.GREEN if reason == "green" else ExitCode.NOTEBOOK_FAILED)


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        pytest.param(  # test_missing_module.py has each kind of module
            "import nobody_has_this.part",
            "no nobody_has_this. If it is a module of the repository",
            id="any",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            "from google.cloud import nobody_v1", "add google-cloud-nobody to NB_REQUIREMENTS", id="google's"
        ),
    ],
)
def test_a_module_that_is_not_there_is_no_fault_of_the_cell(tmp_path: Path, source: str, advice: str) -> None:
    verdict = run(tmp_path, json.dumps(notebook_json(code(0, source))).encode(), {})
    assert verdict.reason == "cell_failed"
    assert advice in verdict.advice, verdict
    assert "Correct the cell" not in verdict.advice


def test_sources_of_every_form_come_back_unchanged(tmp_path: Path) -> None:
    source = notebook_json(
        markdown(0, "# markdown may change"),
        code(1, ["a = 1\n", "b = 2"]),
        code(2, "c = 'é \u2028 \x0c'\r\nd = 4\n\n"),
        code(3, "\n  \n"),
        code(4, "# only a comment"),
        code(5, "old = 1", "injected-parameters"),
        code(6, "assert new == 2"),
    )
    for cell in source["cells"]:
        del cell["id"]
    source["nbformat_minor"] = 4
    assert run(tmp_path, json.dumps(source).encode(), {"new": 2}).green
