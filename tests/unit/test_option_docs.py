"""The option table of the docs is what the program prints, and the JSON Schema accepts what the loader accepts."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from builder.options.commands import FORMATS
from builder.options.docs import json_schema, markdown, render_options
from builder.options.option import Option
from builder.options.table import OPTIONS
from tests.loading import load_options
from tests.write_docs import PAGES, ROOT, TABLES, with_tables

SCHEMA: dict[str, Any] = json.loads(json_schema())


def test_pages_hold_the_tables_that_make_docs_writes() -> None:
    pages = [(ROOT / name).read_text(encoding="utf-8") for name in PAGES]
    stale = [name for name, page in zip(PAGES, pages, strict=True) if with_tables(page) != page]
    assert stale == [], "run `make docs`"
    for name, write in TABLES.items():
        assert sum(f"<!-- {name} -->\n\n{write()}\n<!-- /{name} -->" in page for page in pages) == 1


def test_stale_table_is_replaced() -> None:
    page = "before\n<!-- options -->\nold\n<!-- /options -->\nafter\n"
    assert with_tables(page) == f"before\n<!-- options -->\n\n{markdown()}\n<!-- /options -->\nafter\n"
    assert with_tables("no markers") == "no markers"


@pytest.mark.parametrize("form", FORMATS["options"])
def test_every_option_is_in_every_format(form: str) -> None:
    printed = render_options(form)
    assert printed.endswith("\n")
    for option in OPTIONS:
        if form != "json-schema":
            assert re.search(rf"\b{option.env}\b", printed), option.env
        elif option.in_file:
            assert option.name in SCHEMA["properties"]


def test_table_rows_have_as_many_cells_as_their_head() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


def test_schema_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_example_in_the_docs_fits_the_schema_and_loads() -> None:
    page = (ROOT / "docs/options.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    jsonschema.validate(yaml.load(example[1], Loader=yaml.CSafeLoader), SCHEMA)
    options = load_options([], {}, {"notebooks.yaml": example[1]}.get)
    assert [entry.pattern for entry in options.notebooks] == [
        "reports/weekly.ipynb",
        "models/train.ipynb",
        "checks/*.ipynb",
    ]
    assert options.notebooks[1].options.parameters == {"epochs": 3, "start": "2026-07-01"}


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.in_file], ids=lambda o: o.name)
def test_default_and_typed_example_fit_the_schema(option: Option) -> None:
    rules = SCHEMA["properties"][option.name]
    example: object = option.example
    if rules.get("type") == "integer":
        example = int(option.example)
    if rules.get("type") == "boolean":
        example = {"true": True}[option.example]
    jsonschema.validate([example] if option.name == "notebooks" else example, rules)
    if "default" in rules:
        jsonschema.validate(rules["default"], rules)
