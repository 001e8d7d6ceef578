"""Tests NB_SECRETS. A message never repeats what it refuses, since that may be a secret's value."""

from __future__ import annotations

import pytest

from builder.errors import BadInput
from builder.options.secret_names import secrets
from builder.options.values import InvalidValue
from tests.loading import load_options

ONE = "projects/my-project/secrets/maps-key/versions/3"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param(f"KEY={ONE}", {"KEY": ONE}, id="text"),
        pytest.param(
            f" KEY = {ONE} ,\n_b2=projects/123456789012/secrets/S_x/versions/latest,",
            None,
            id="text with blanks",
        ),
        pytest.param(
            {"KEY": ONE, "Other": "projects/example.com:my-project/secrets/s/versions/stable_1"},
            None,
            id="mapping",
        ),
        pytest.param([f"KEY={ONE}"], {"KEY": ONE}, id="list"),
        pytest.param("", {}, id="empty"),
    ],
)
def test_accepted(given: object, found: dict[str, str] | None) -> None:
    read = secrets.parse(given)
    assert found is None or read == found
    if isinstance(given, dict):
        assert read == given


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        pytest.param("hunter2hunter2", "entry 1", "NAME=projects", id="value alone"),
        pytest.param("hunter2hunter2==", "entry 1", "versions/VERSION", id="value with padding"),
        pytest.param(
            "KEY=hunter2hunter2",
            "KEY",
            "projects/PROJECT/secrets/SECRET/versions/VERSION",
            id="value for a resource",
        ),
        pytest.param({"KEY": {"hunter2hunter2": 1}}, "KEY", "versions/VERSION", id="value in a mapping"),
        pytest.param("KEY=projects/my-project/secrets/s", "KEY", "versions/VERSION", id="no version"),
        pytest.param(
            "KEY=projects/my-project/secrets/s/versions/0",
            "KEY",
            "number, an alias or latest",
            id="version 0",
        ),
        pytest.param("KEY=projects/my-project/secrets/s/versions/-1", "KEY", "latest", id="negative version"),
        pytest.param(
            "KEY=projects/my-project/locations/x/secrets/s/versions/1",
            "KEY",
            "versions/VERSION",
            id="regional secret",
        ),
        pytest.param("KEY=projects/p/secrets/s/versions/1\x00", "KEY", "versions/VERSION", id="null byte"),
        pytest.param(f"hunter2-hunter2={ONE}", "entry 1", "variable's name", id="name with a dash"),
        pytest.param(f"2KEY={ONE}", "entry 1", "variable's name", id="name with a leading digit"),
        pytest.param(f"NB_KEY={ONE}", "NB_KEY", "belongs to", id="NB_"),
        pytest.param(f"JUPYTER_TOKEN={ONE}", "JUPYTER_TOKEN", "belongs to", id="JUPYTER_"),
        pytest.param(f"JPY_PARENT_PID={ONE}", "JPY_PARENT_PID", "belongs to", id="JPY_"),
        pytest.param(f"PATH={ONE}", "PATH", "belongs to", id="PATH"),
        pytest.param(f"PYTHONPATH={ONE}", "PYTHONPATH", "belongs to", id="PYTHON"),
        pytest.param(f"LD_PRELOAD={ONE}", "LD_PRELOAD", "belongs to", id="LD_"),
        pytest.param(
            f"GOOGLE_APPLICATION_CREDENTIALS={ONE}",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "belongs to",
            id="GOOGLE_",
        ),
        pytest.param(f"KEY={ONE},KEY={ONE}", "KEY", "given twice", id="name given twice"),
        pytest.param(7, "…", "expected a list", id="number"),
        pytest.param({f"K{n}": ONE for n in range(101)}, "…", "at most 100", id="too many"),
    ],
)
def test_refused(given: object, place: str, words: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        secrets.parse(given)
    ((part, expected),) = caught.value.faults
    assert part == place
    assert words in expected
    assert "hunter2" not in expected


def test_every_mistake_at_once_with_variable_and_without_values() -> None:
    env = {
        "NB_NOTEBOOKS": "a.ipynb",
        "NB_GCS_LOCATION": "gs://nb-test/ci",
        "NB_VM_SERVICE_ACCOUNT": "notebook-vm@my-project.iam.gserviceaccount.com",
        "NB_SECRETS": f"A=hunter2hunter2,NB_B={ONE},correct-horse",
    }
    with pytest.raises(BadInput) as caught:
        load_options([], env, lambda _name: None)
    assert [(problem.variable, problem.value) for problem in caught.value.problems] == [
        ("NB_SECRETS", "A"),
        ("NB_SECRETS", "NB_B"),
        ("NB_SECRETS", "entry 3"),
    ]
    assert "hunter2" not in str(caught.value)
    assert "horse" not in str(caught.value)


def test_a_variable_is_either_plain_or_secret() -> None:
    env = {
        "NB_NOTEBOOKS": "a.ipynb",
        "NB_GCS_LOCATION": "gs://nb-test/ci",
        "NB_VM_SERVICE_ACCOUNT": "notebook-vm@my-project.iam.gserviceaccount.com",
        "NB_SECRETS": f"A={ONE},B={ONE}",
        "NB_ENV": "B=1,C=2",
    }
    with pytest.raises(BadInput, match="given in NB_ENV, too") as caught:
        load_options([], env, lambda _name: None)
    assert [(problem.variable, problem.value) for problem in caught.value.problems] == [("NB_SECRETS", "B")]


def test_a_notebook_may_have_its_own() -> None:
    file = f"secrets: {{TOP: {ONE}}}\nnotebooks:\n- a.ipynb\n- path: b.ipynb\n  secrets: {{OWN: {ONE}}}\n"
    env = {
        "NB_GCS_LOCATION": "gs://nb-test/ci",
        "NB_VM_SERVICE_ACCOUNT": "notebook-vm@my-project.iam.gserviceaccount.com",
    }
    options = load_options([], env, {"notebooks.yaml": file}.get)
    assert [dict(entry.options.secrets) for entry in options.notebooks] == [{"TOP": ONE}, {"OWN": ONE}]
