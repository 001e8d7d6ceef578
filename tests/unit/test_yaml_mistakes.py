"""A mistake in YAML is told with its place and what to write, never in the parser's words."""

from __future__ import annotations

import re

import pytest
import yaml

from builder.errors import BadInput
from builder.options import yaml_mistakes as said
from builder.options.parameters import parse_parameters
from builder.options.values import InvalidValue
from builder.options.yaml_text import YamlMistake, read_yaml
from tests.loading import load_options

MINIMAL = {
    "NB_VM_SERVICE_ACCOUNT": "notebook-vm@local-project.iam.gserviceaccount.com",
    "NB_GCS_LOCATION": "gs://nb-test/ci",
    "NB_NOTEBOOKS": "a.ipynb",
}
# Name: the text, line, column, and what is expected there.
CASES: dict[str, tuple[str, int, int, str]] = {
    "tab for indentation": ("notebooks:\n- path: a.ipynb\n\ttimeout: 5\n", 3, 1, said.TAB),
    "tab after a colon": ("timeout:\t5\n", 1, 9, said.TAB),
    "tab before a comment": ("timeout: 5\t# x\n", 1, 11, said.TAB),
    "unclosed double quote": ('kernel: "python3\ntimeout: 5\n', 1, 9, said.QUOTE),
    "unclosed single quote": ("timeout: 5\nkernel: 'python3\n", 2, 9, said.QUOTE),
    "quote in single quotes": ("kernel: 'it's'\n", 1, 13, said.AFTER_QUOTE),
    "text after a quote": ('kernel: "a" b\n', 1, 13, said.AFTER_QUOTE),
    "quoted list without brackets": ('zones: "a", "b"\n', 1, 11, said.BRACKETS),
    "backslash in double quotes": ('setup: "C:\\dir"\n', 1, 12, said.BACKSLASH),
    "short escape": ('setup: "\\u12"\n', 1, 11, said.BACKSLASH),
    "colon in a value": ("setup: run: this\n", 1, 11, said.COLON),
    "colon in a value of a list": ("notebooks:\n- path: a: b.ipynb\n", 2, 10, said.COLON),
    "colon without a space": ("kernel: a\ntimeout:5\n", 2, 1, said.NO_SPACE),
    "colon without a space on the first line": ("timeout:5\nkernel: a\n", 1, 1, said.NO_SPACE),
    "other version of YAML": ("%YAML 2.0\n---\ntimeout: 5\n", 1, 1, said.NO_COLON),
    "line without a colon": ("timeout 5\nkernel: a\n", 1, 1, said.NO_COLON),
    "dash without a space": ("zones:\n  - a\n  -b\n", 3, 3, said.DASH),
    "indented below a value": ("timeout: 5\n  kernel: a\n", 2, 3, said.DEEPER),
    "indented between two levels": ("notebooks:\n  - path: a.ipynb\n timeout: 5\n", 3, 2, said.INDENTATION),
    "first line indented": ("  timeout: 5\nkernel: a\n", 2, 1, said.INDENTATION),
    "text block that ends early": ("setup: |\n  x\n y\n", 3, 2, said.INDENTATION),
    "option of an item below its dash": ("notebooks:\n  - path: a\n  timeout: 5\n", 3, 3, said.NO_ITEM),
    "option of an item too deep": ("notebooks:\n  - path: a\n   timeout: 5\n", 3, 4, said.NO_ITEM),
    "option after a list": ("- a\ntimeout: 5\n", 2, 1, said.NO_ITEM),
    "item among options": ("timeout: 5\n- a\n", 2, 1, said.ITEM),
    "item on the option's line": ("zones: - a\n", 1, 8, said.ITEM),
    "open bracket": ("zones: [a, b\nkernel: x\n", 1, 8, said.OPEN),
    "open bracket at the end": ("kernel: x\r\nzones: [a,\r\n", 3, 1, said.OPEN),
    "open brace": ("parameters:\n  day: {today\n", 2, 8, said.OPEN),
    "bracket without a beginning": ("zones: [a, b]]\n", 1, 14, said.CLOSED),
    "bracket alone": ("zones: ]\n", 1, 8, said.CLOSED),
    "no comma": ("parameters: {a: 1 b: 2}\n", 1, 20, said.COMMA),
    "two braces": ("parameters:\n  day: {{ today }}\n", 2, 9, said.BRACE),
    "template without quotes": ("parameters:\n  day: {today}\n", 2, 8, said.BRACE),
    "template in a longer value": ("parameters:\n  day: {today}/x\n", 2, 8, said.BRACE),
    "text after braces": ("parameters:\n  day: {a: 1}/x\n", 2, 14, said.BRACE),
    "glob with a star": ("include:\n  - *.csv\n", 2, 5, said.STAR),
    "glob with two stars": ("include: **/x\n", 1, 10, said.STAR),
    "anchor": ("kernel: &x a\n", 1, 9, said.STAR),
    "ampersand": ("kernel: &\n", 1, 9, said.STAR),
    "alias": ("kernel: *x\n", 1, 9, said.STAR),
    "tag": ("kernel: !Ref x\n", 1, 9, said.TAG),
    "tag of another document": ("kernel: !a!b x\n", 1, 9, said.TAG),
    "merge key": ("parameters:\n  <<: {b: 1}\n", 2, 3, "merge keys (<<) are not accepted; write the values in each place"),
    "percent": ("kernel: %x\n", 1, 9, said.needs_quotes("%")),
    "at": ("kernel: @x\n", 1, 9, said.needs_quotes("@")),
    "backtick": ("kernel: `x`\n", 1, 9, said.needs_quotes("`")),
    "bar": ("kernel: |x\n", 1, 9, said.needs_quotes("|")),
    "greater than": ("expect: >=1B\n", 1, 9, said.needs_quotes(">")),
    "question mark": ("kernel: ?\n", 1, 9, said.needs_quotes("?")),
    "directive": ("%x: 1\n", 1, 1, said.needs_quotes("%")),
    "merge conflict": ("timeout: 5\n<<<<<<< HEAD\nkernel: a\n=======\n", 2, 1, said.CONFLICT),
    "merge conflict at the top": ("<<<<<<< HEAD\ntimeout: 5\n=======\n", 1, 1, said.CONFLICT),
    "twice the same": ("timeout: 5\nkernel: a\ntimeout: 6\n", 3, 1, "this is already on line 1; write it once"),
    "two documents": ("timeout: 5\n---\nkernel: b\n", 2, 1, "expected one document; remove the line with --- and what follows it"),
    "list as a key": ("[a]: 1\n", 1, 1, "expected plain text before the colon, such as timeout: 2400"),
    "control character": ("a: 1\nb: \x01\n", 2, 4, "expected text without control characters"),
    "infinity": ("timeout: .inf\n", 1, 10, "expected a finite number, or text in quotes"),
}  # fmt: skip
PARSERS_WORDS = re.compile("token|scalar|block end|flow|collection|node|chomping|mark\\b.*index|stream")


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_says_what_was_expected_and_where(name: str) -> None:
    text, line, column, expected = CASES[name]
    with pytest.raises(YamlMistake) as caught:
        read_yaml(text)
    assert (str(caught.value), caught.value.place) == (expected, f" line {line}, column {column}")
    assert not PARSERS_WORDS.search(expected)


EXAMPLES = {name: value for name, value in vars(said).items() if name.isupper() and "such as" in str(value)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_valid_yaml(name: str) -> None:
    example = (
        re.split(" below the | such as ", EXAMPLES[name])[1].partition("; anchors")[0].partition("; tags")[0]
    )
    read_yaml(example)


def test_the_file_and_the_place_are_named() -> None:
    with pytest.raises(BadInput, match=re.escape(f"notebooks.yaml line 2, column 8: {said.BRACE}")):
        load_options([], MINIMAL, {"notebooks.yaml": "parameters:\n  day: {today}\n"}.get)


def test_a_parameter_file_and_an_option_name_the_place_too() -> None:
    env = {**MINIMAL, "NB_PARAMETERS_FILE": "p.yaml", "NB_SCHEDULE_PARAMETERS": "day: 1\ndays: {today}"}
    with pytest.raises(BadInput) as caught:
        load_options([], env, {"p.yaml": "a: 1\n\tb: 2\n"}.get)
    places = sorted(problem.variable for problem in caught.value.problems)
    assert places == ["NB_SCHEDULE_PARAMETERS line 2, column 7", "p.yaml line 2, column 1"]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        pytest.param("- a.ipynb", "Write a list of notebooks below notebooks:", id="list"),
        pytest.param("timeout:5", "Write a colon and a space between them", id="no space"),
        pytest.param("timeout=5", "Write a colon and a space between them", id="equals sign"),
        pytest.param("hello", "such as machine_type: e2-standard-8", id="text"),
    ],
)
def test_a_file_without_options(text: str, advice: str) -> None:
    with pytest.raises(BadInput, match="expected options with values, such as") as caught:
        load_options([], MINIMAL, {"notebooks.yaml": text}.get)
    assert str(caught.value.problems[0].expected).endswith(advice)


def test_text_with_braces_in_quotes_is_text() -> None:
    assert parse_parameters('{"day": "{today}", "none": null, b: , c: {}}') == {
        "day": "{today}",
        "none": None,
        "b": None,
        "c": {},
    }
    with pytest.raises(InvalidValue):
        parse_parameters("{day}")


def test_a_mistake_that_the_parser_gives_no_place_is_at_the_beginning() -> None:
    assert said.explained("a: b\n", yaml.MarkedYAMLError(problem="unknown")) == (said.NO_COLON, 1, 1)
