"""What differs between the inputs of two jobs, by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.plan.build_plan import JobPlan
from builder.plan.named_inputs import NamedInputs, decode_named_inputs, differences, named_inputs
from builder.plan.packing import Archive
from builder.plan.preparation import Preparation
from tests.unit.good_attempt import code, markdown, notebook_json, read
from tests.unit.test_inputs import HOW, JOB, WANTED

FILES = {"demo.ipynb": "aa", "lib.py": "bb"}


def named(job: JobPlan = JOB, files: dict[str, str] = FILES, kit: str = "k") -> NamedInputs:
    return named_inputs(job, Archive(Path("x"), "w", 1, files), kit)


def options(**changed: Any) -> JobPlan:
    return replace(JOB, options=replace(JOB.options, **changed))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(named(), "", id="nothing"),
        pytest.param(named(replace(JOB, parameters={"city": "Rome", "days": 1})), "parameter city", id="parameter"),
        pytest.param(named(replace(JOB, parameters={"city": "Paris"})), "parameter days (removed)", id="no parameter"),
        pytest.param(named(options(env={"A": "1", "B": "2"})), "NB_ENV B (new)", id="a variable more"),
        pytest.param(named(options(secrets={})), "NB_SECRETS KEY (removed)", id="a secret less"),
        pytest.param(named(options(machine_type="e2-small")), "NB_MACHINE_TYPE", id="machine type"),
        pytest.param(named(options(vm_service_account="c@d")), "NB_VM_SERVICE_ACCOUNT", id="account"),
        pytest.param(named(options(image_family="other")), "NB_IMAGE_FAMILY", id="image family"),
        pytest.param(named(options(index_url=None)), "NB_INDEX_URL", id="index"),
        pytest.param(
            named(replace(JOB, preparation=Preparation("other.sh", replace(WANTED, path="s.txt")))),
            "NB_REQUIREMENTS, NB_SETUP",
            id="set-up and packages",
        ),
        pytest.param(named(kit="l"), "the version of the runner kit", id="kit"),
        pytest.param(named(files=FILES | {"lib.py": "cc"}), "lib.py", id="file"),
        pytest.param(
            named(files={"demo.ipynb": "aa", "new.py": "bb"}), "lib.py (removed), new.py (new)", id="files"
        ),
        pytest.param(named(files=FILES | {"demo.ipynb": "cc"}), "demo.ipynb (only Markdown cells)", id="Markdown"),
        pytest.param(
            named(
                replace(JOB, notebook=replace(JOB.notebook, code_sha256="other")),
                FILES | {"demo.ipynb": "cc"},
            ),
            "demo.ipynb",
            id="code",
        ),
        pytest.param(
            named(files=FILES | {f"{number}.csv": "x" for number in range(9)}),
            "0.csv (new), 1.csv (new), 2.csv (new), 3.csv (new), 4.csv (new), 5.csv (new) and 3 more",
            id="many files",
        ),
        pytest.param(named(files={str(number): "x" for number in range(1001)}), "", id="too many to keep"),
    ],
)  # fmt: skip
def test_differences_have_names(now: NamedInputs, expected: str) -> None:
    assert differences(now, named()) == expected


@pytest.mark.parametrize("name", sorted(HOW[type(JOB.options)]))
def test_every_option_in_the_hash_has_a_name(name: str) -> None:
    value = HOW[type(JOB.options)][name]
    assert f"NB_{name.upper()}" in differences(named(options(**{name: value})), named())


def test_no_value_is_kept() -> None:
    text = json.dumps(named(options(env={"TOKEN": "not to be stored"})).encode())
    assert "TOKEN" in text
    assert not {word for word in ("not to be stored", "Paris") if word in text}


def test_encoded_inputs_are_read_back() -> None:
    assert decode_named_inputs(json.loads(json.dumps(named().encode()))) == named()


@pytest.mark.parametrize(
    ("after", "same"),
    [
        pytest.param([markdown(0, "# B"), code(1, "1")], True, id="another text"),
        pytest.param(
            [markdown(0, "# A"), markdown(1, "more"), code(2, "1")], True, id="a Markdown cell more"
        ),
        pytest.param([markdown(0, "# A"), code(1, "2")], False, id="other code"),
        pytest.param([markdown(0, "# A"), code(1, "1", "raises-exception")], False, id="a tag"),
        pytest.param([markdown(0, "# A"), code(1, "1"), code(2, "2")], False, id="a code cell more"),
    ],
)
def test_markdown_cells_are_no_code(after: list[dict[str, Any]], *, same: bool) -> None:
    before = read(notebook_json(markdown(0, "# A"), code(1, "1")))
    assert (read(notebook_json(*after)).code_sha256 == before.code_sha256) is same
