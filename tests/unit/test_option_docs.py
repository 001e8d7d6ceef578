"""README's and docs' option tables are what the program prints, and the JSON Schema says what the loader takes."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from builder.options import load_options
from builder.options.docs import json_schema, markdown, render_options
from builder.options.table import FORMATS, OPTIONS, Option
from tests.write_docs import BEGIN, PAGES, ROOT, with_table

SCHEMA: dict[str, Any] = json.loads(json_schema())


@pytest.mark.parametrize("name", PAGES)
def test_page_holds_the_table_that_the_program_prints(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8") if (ROOT / name).exists() else ""
    assert with_table(page) == page, "run `make docs`"
    if BEGIN in page:
        assert markdown() in page


def test_stale_table_is_replaced() -> None:
    page = "before\n<!-- options -->\nold\n<!-- /options -->\nafter\n"
    assert with_table(page) == f"before\n<!-- options -->\n\n{markdown()}\n<!-- /options -->\nafter\n"
    assert with_table("no markers") == "no markers"


@pytest.mark.parametrize("form", FORMATS["options"])
def test_every_option_is_in_every_format(form: str) -> None:
    printed = render_options(form)
    assert printed.endswith("\n")
    for option in OPTIONS:
        if form != "json-schema":
            assert re.search(rf"\b{option.env}\b", printed), option.env
        elif option.available and option.in_file:
            assert option.name in SCHEMA["properties"]


def test_table_rows_have_as_many_cells_as_their_head() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


def test_schema_is_a_valid_schema_without_what_is_refused() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    names = (
        SCHEMA["properties"].keys()
        | SCHEMA["properties"]["notebooks"]["items"]["anyOf"][1]["properties"].keys()
    )
    assert not names & {option.name for option in OPTIONS if not option.available}


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


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.available and o.in_file], ids=lambda o: o.name)
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
