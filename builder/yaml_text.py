"""Reads JSON or YAML text as plain data, with the line of every key, and refuses what would surprise.

YAML as its version 1.2 means it: only true and false are booleans, `12:30`, `007` and `2026-07-01` are text. No tags, no key
twice in a mapping, and a budget for aliases, so that a small text cannot unfold into gigabytes.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from builder.option_values import Unfit, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    import yaml

LONGEST_TEXT = 128 * 1024  # characters; the parser is pure Python and takes about 1 s for a MiB
DEEPEST = 40  # levels of lists and mappings
_MOST_NODES = 20_000
_LIST_TAG = "tag:yaml.org,2002:seq"
_TEXT_TAG = "tag:yaml.org,2002:str"
_WORDS: dict[str, bool | None] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,999})")
_FRACTION = re.compile(r"[-+]?(?:\.[0-9]{1,400}|[0-9]{1,400}(?:\.[0-9]{0,400})?)(?:[eE][-+]?[0-9]{1,5})?")
_NO_NUMBER = frozenset({".inf", "-.inf", "+.inf", ".nan"})


class Lined(dict[str, Any]):
    """A mapping that remembers on which line each of its keys stands."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class YamlMistake(Unfit):
    """Text that is no YAML, or more than we take; `line` (from 1) says where, if that can be told."""

    def __init__(self, expected: str, line: int | None = None, value: object = None) -> None:
        super().__init__(expected, value)
        self.line = line


def read_data(text: str) -> object:
    """The data in JSON or YAML text; raises Unfit (YamlMistake where a line can be told)."""
    if text.lstrip().startswith("{"):
        try:
            return _read_json(text)
        except RecursionError:
            raise Unfit(f"at most {DEEPEST} levels of nesting") from None
        except _NoJson:
            pass
    return read_yaml(text)


def read_yaml(text: str) -> object:
    """The data of one YAML document, mappings as `Lined`; raises YamlMistake."""
    import yaml  # noqa: PLC0415  15 ms that a run without YAML does not pay

    if len(text) > LONGEST_TEXT:
        raise YamlMistake(f"at most {LONGEST_TEXT} characters of YAML")
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlMistake(
            f"this is no valid YAML: {printable(error.problem or error.context or '')}",
            mark.line + 1 if mark else None,
        ) from None
    except yaml.YAMLError:
        raise YamlMistake("expected YAML without control characters") from None
    except RecursionError:
        raise YamlMistake(f"at most {DEEPEST} levels of nesting") from None
    return None if root is None else _Builder().build(root, 0)


class _Builder:
    """Turns YAML nodes into data, counting them."""

    def __init__(self) -> None:
        self.nodes = 0

    def build(self, node: yaml.Node, depth: int) -> object:
        self.nodes += 1
        line = node.start_mark.line + 1
        if depth > DEEPEST or self.nodes > _MOST_NODES:
            raise YamlMistake(f"at most {DEEPEST} levels and {_MOST_NODES} values, aliases counted", line)
        if not node.tag.startswith("tag:yaml.org,2002:"):
            raise YamlMistake("tags are not accepted", line, printable(node.tag))
        if isinstance(node.value, str):
            return _scalar(node, line)
        # The node classes are known by their data: yaml itself is only imported where YAML is read.
        if node.tag == _LIST_TAG:
            return [self.build(item, depth + 1) for item in node.value]
        result = Lined()
        for key_node, value_node in node.value:
            key, line = _key(key_node), key_node.start_mark.line + 1
            if key in result:
                raise YamlMistake(
                    f"this key stands on line {result.lines[key]} already", line, printable(key)
                )
            result[key] = self.build(value_node, depth + 1)
            result.lines[key] = line
        return result


def _key(node: yaml.Node) -> str:
    if not isinstance(node.value, str):
        raise YamlMistake("expected plain text as a key", node.start_mark.line + 1)
    if node.value == "<<":
        raise YamlMistake("merge keys are not accepted", node.start_mark.line + 1, "<<")
    return node.value


def _scalar(node: yaml.Node, line: int) -> object:
    if node.tag != _TEXT_TAG:
        raise YamlMistake("tags are not accepted", line, printable(node.tag))
    # BaseLoader calls every scalar text; only one written without quotes may be something else.
    text = str(node.value)
    return text if getattr(node, "style", None) is not None else _plain(text, line)


def _plain(word: str, line: int) -> object:
    if word in _WORDS:
        return _WORDS[word]
    if word.lower() in _NO_NUMBER:
        raise YamlMistake("expected a finite number, or text in quotes", line, word)
    if _WHOLE.fullmatch(word):
        return int(word)
    leading_zero = re.match(r"[-+]?0[0-9]", word)
    if leading_zero or not _FRACTION.fullmatch(word):
        return word
    number = float(word)
    if not math.isfinite(number):
        raise YamlMistake("expected a finite number, or text in quotes", line, printable(word))
    return number


class _NoJson(ValueError):
    """The text is not JSON; it may be YAML."""


def _read_json(text: str) -> object:
    import json  # noqa: PLC0415  only when a mapping is given as text

    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except Unfit:
        raise
    except ValueError as error:
        raise _NoJson from error


def _unique(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise Unfit("this key is given twice", printable(key))
        result[key] = value
    return result


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise Unfit("expected finite numbers", printable(word))
    return number
