"""The gate over licences: what passes, and that it fails for what does not."""

from __future__ import annotations

import importlib.util
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("licences", ROOT / "docker" / "licences.py")
assert _spec is not None
assert _spec.loader is not None
gate: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(gate)


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0 OR GPL-2.0-or-later", "MPL-2.0 AND MIT"])
def test_an_expression_with_an_allowed_alternative_passes(licence: str) -> None:
    assert gate.is_allowed(licence)


@pytest.mark.parametrize(
    "licence",
    ["GPL-3.0-only", "MIT AND AGPL-3.0-only", "GPL-2.0-only OR (LGPL-2.1-only AND MIT)", "Other/Proprietary"],
)
def test_an_expression_without_one_fails(licence: str) -> None:
    assert not gate.is_allowed(licence)


def test_a_package_without_an_allowed_licence_is_named() -> None:
    elsewhere = set(gate.ELSEWHERE)
    told = list(gate.faults({"a", "b", "c", *elsewhere}, {"a": "MIT", "b": "GPL-3.0-only"}))
    assert [line.partition(":")[0] for line in told] == ["b", "c"]
    assert list(gate.faults({"a"}, {"a": "MIT"})) == [
        f"{name}: ELSEWHERE in licences.py names it, and need not" for name in sorted(elsewhere)
    ]


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        pytest.param({"License-Expression": "MIT", "License": "see below"}, "MIT", id="expression"),
        pytest.param(
            {"Classifier": "License :: OSI Approved :: BSD License"}, "BSD-3-Clause", id="classifier"
        ),
        pytest.param({"License": "Apache 2.0\nand more"}, "Apache-2.0", id="text"),
        pytest.param({"Classifier": "License :: Free For Home Use"}, "", id="none"),
    ],
)
def test_the_licence_in_a_packages_metadata(headers: dict[str, str], licence: str) -> None:
    package = Message()
    for name, value in headers.items():
        package[name] = value
    assert gate.licence_of(package) == licence
