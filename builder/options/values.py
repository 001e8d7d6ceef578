"""Reads one option's value, whether text from the environment or typed from YAML: lists, numbers, sizes, patterns.

A parser returns the value in its own type or raises `Unfit`, which says what would be accepted. Nothing here knows an option's name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from builder.model import Expectation
from builder.options.parameters import faults

S = TypeVar("S")
T = TypeVar("T")
Parser = Callable[[object], Any]

LONGEST_TEXT = 1024  # an object name's limit in Cloud Storage; no name, pattern or address is longer
DEEPEST = 40  # levels of lists and mappings in one value
LONGEST_NAME, LONGEST_PATH = (
    255,
    800,
)  # bytes of UTF-8: a file system's limit, and room for our prefix in an object's name
LARGEST_OBJECT = 5 * 2**40  # Cloud Storage's limit for one object, in bytes
# Control bytes, lone surrogates, and the invisible marks that make a name look like another one.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmg", 1)}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmg", 1)}
_SIZE = r"([0-9]{1,15})(?:\.([0-9]{1,6}))? ?([A-Za-z]{0,3})"
_GLOB_CHARACTERS = frozenset("*?[")


class Unfit(ValueError):
    """A value that is not accepted: pairs of the part that is wrong (None: all of it) and what is expected there."""

    def __init__(self, expected: str, value: object = None) -> None:
        super().__init__(expected)
        self.faults: list[tuple[object, str]] = [(value, expected)]


def printable(text: str, limit: int = 80) -> str:
    """The text as it may stand in a message: nothing invisible in it, and cut where it is long."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def text(value: object) -> str:
    """Text, or a whole number where YAML saw one; without control characters."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unfit("expected text; in YAML, put it in quotes")
    result = str(value).strip()
    if len(result) > LONGEST_TEXT:
        raise Unfit(f"at most {LONGEST_TEXT} characters")
    if _UNSAFE.search(result):
        raise Unfit("text without control or invisible characters")
    if not result:
        raise Unfit("expected text, but it is empty")
    return result


def matching(pattern: str, expected: str) -> Callable[[object], str]:
    """A parser of text that the pattern matches from end to end."""

    def parse(value: object) -> str:
        result = text(value)
        if not re.fullmatch(pattern, result):  # compiled at its first use: most runs use few of them
            raise Unfit(expected)
        return result

    return parse


def one_of(words: Sequence[str]) -> Callable[[object], str]:
    """A parser of text that is one of at least two words."""
    expected = f"expected {', '.join(words[:-1])} or {words[-1]}"

    def parse(value: object) -> str:
        if value not in words:  # no set: YAML may give a list
            raise Unfit(expected)
        return str(value)

    return parse


def boolean(value: object) -> bool:
    """true/false, yes/no, 1/0."""
    word = str(value).strip().lower() if isinstance(value, str | bool | int) else ""
    if word in {"true", "yes", "1"}:
        return True
    if word in {"false", "no", "0"}:
        return False
    raise Unfit("expected true or false (yes, no, 1 and 0 also do)")


def whole_number(lowest: int, highest: int, what: str) -> Callable[[object], int]:
    """A parser of whole numbers in a range; `what` names the unit in messages."""
    expected = f"expected {what} as a whole number from {lowest} to {highest}"

    def parse(value: object) -> int:
        digits = str(value).strip() if isinstance(value, str) else value
        if isinstance(digits, str) and re.fullmatch(r"[0-9]{1,18}", digits):
            digits = int(digits)
        if isinstance(digits, bool) or not isinstance(digits, int) or not lowest <= digits <= highest:
            raise Unfit(expected)
        return digits

    return parse


def seconds(lowest: int, highest: int) -> Callable[[object], int]:
    """A parser of durations in whole seconds; `2400s`, as Cloud Build writes them, is the same as `2400`."""
    parse_number = whole_number(lowest, highest, "seconds")

    def parse(value: object) -> int:
        return parse_number(value.strip().removesuffix("s") if isinstance(value, str) else value)

    return parse


def or_none(parse_value: Callable[[object], T]) -> Callable[[object], T | None]:
    """The same parser, with the word `none` for "not at all", so that a file's setting can be taken back."""

    def parse(value: object) -> T | None:
        if isinstance(value, str) and value.strip().lower() == "none":
            return None
        return parse_value(value)

    return parse


def items(value: object) -> list[object]:
    """The entries of a YAML list, or of text separated by commas or newlines; empty ones are dropped."""
    if isinstance(value, str):
        return [item for part in re.split(r"[,\n]", value) if (item := part.strip())]
    if isinstance(value, list):
        return list(value)
    raise Unfit("expected a list, or text separated by commas or newlines")


def list_of(parse_item: Callable[[object], T], *, at_most: int = 1000) -> Callable[[object], tuple[T, ...]]:
    """A parser of lists: every wrong entry is reported, one given twice counts once, none at all is a mistake."""

    def parse(value: object) -> tuple[T, ...]:
        entries = items(value)
        if not entries:
            raise Unfit("expected at least one entry")
        if len(entries) > at_most:
            raise Unfit(f"at most {at_most} entries")
        return tuple(dict.fromkeys(parse_each(entries, parse_item)))

    return parse


def parse_each(entries: Iterable[S], parse_item: Callable[[S], T]) -> list[T]:
    """All entries parsed; raises one Unfit with what is wrong in any of them."""
    results, faults = [], []
    for entry in entries:
        try:
            results.append(parse_item(entry))
        except Unfit as unfit:
            faults += [(entry if part is None else part, expected) for part, expected in unfit.faults]
    if faults:
        together = Unfit(faults[0][1])
        together.faults = faults
        raise together
    return results


def is_glob(pattern: str) -> bool:
    """Whether the pattern stands for several files rather than naming one."""
    return not _GLOB_CHARACTERS.isdisjoint(pattern)


def relative_path(value: object) -> str:
    """A path or glob below the place it starts from, `/` between folders; a leading `./` is taken off."""
    path = text(value)
    while path.startswith("./"):
        path = path[2:]
    if path.startswith(("/", "~")) or "\\" in path or ".." in path.split("/"):
        raise Unfit("expected a relative path with / between folders and no .. in it")
    if not path or any(part in {"", "."} for part in path.split("/")):
        raise Unfit("expected a relative path without empty folder names")
    if unicodedata.normalize("NFC", path) != path:
        raise Unfit(
            "expected letters in Unicode's composed form (NFC); type the name anew or rename the file"
        )
    if (
        any(len(part.encode()) > LONGEST_NAME for part in path.split("/"))
        or len(path.encode()) > LONGEST_PATH
    ):
        raise Unfit(f"at most {LONGEST_NAME} bytes per name and {LONGEST_PATH} in all")
    return path


def notebook_pattern(value: object) -> str:
    """The path of one notebook, or a glob."""
    path = relative_path(value)
    if not path.endswith(".ipynb") and not is_glob(path):
        raise Unfit("expected a path that ends with .ipynb, or a glob like reports/*.ipynb")
    return path


def size(value: object) -> int:
    """A size in bytes: `500`, `10KB`, `1.5 MiB`; fractions are rounded up."""
    match = re.fullmatch(_SIZE, text(value))
    unit = _UNITS.get(match[3].lower()) if match else None
    if match is None or unit is None:
        raise Unfit("expected a size like 500, 10KB or 2MiB (units B, KB, KiB, MB, MiB, GB, GiB)")
    whole, fraction = match[1], match[2] or ""
    result: int = -(-int(whole + fraction) * unit // 10 ** len(fraction))
    if result > LARGEST_OBJECT:
        raise Unfit("at most 5 TiB, the largest object that Cloud Storage holds")
    return result


def expectation(value: object) -> Expectation:
    """`glob`, or `glob>=SIZE`."""
    glob, at_least, minimum = text(value).partition(">=")
    if any(sign in glob + minimum for sign in "<>") or glob.rstrip().endswith("="):
        raise Unfit("expected a glob, or glob>=SIZE such as outputs/*.csv>=10KB")
    return Expectation(relative_path(glob), size(minimum) if at_least else 1)


def key_values(value: object) -> list[tuple[str, object]]:
    """The pairs of a YAML mapping, or of `key=value` text; raises Unfit for a key given twice."""
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    pairs: list[tuple[str, object]] = []
    for item in parse_each(items(value), text):
        key, equals, content = item.partition("=")
        if not equals:
            raise Unfit("expected key=value", item)
        if any(key.strip() == known for known, _ in pairs):
            raise Unfit("this key is given twice", key.strip())
        pairs.append((key.strip(), content.strip()))
    return pairs


def parameters(value: object) -> Mapping[str, Any]:
    """A mapping of names a notebook may declare to JSON values, `matrix` one of lists; text is read as JSON, then as YAML."""
    if isinstance(value, str):
        from builder.options.yaml_text import read_data

        value = read_data(value)
    if not isinstance(value, Mapping):
        raise Unfit('expected a mapping in JSON or YAML, such as {"city": "Paris", "days": 7}')
    _check_json(value)
    found: list[tuple[object, str]] = list(faults(value))
    if found:
        together = Unfit(found[0][1])
        together.faults = found
        raise together
    return {key: _plain_data(item) for key, item in value.items()}


def _plain_data(value: Any) -> Any:
    """The same data in Python's own lists and dictionaries."""
    if isinstance(value, Mapping):
        return {key: _plain_data(item) for key, item in value.items()}
    return [_plain_data(item) for item in value] if isinstance(value, list) else value


def _check_json(data: object) -> None:
    """Refuses what JSON in UTF-8 cannot carry, level by level; never repeats a value, which may be private."""
    level, depth = [data], 0
    while level:
        if depth > DEEPEST:
            raise Unfit(f"at most {DEEPEST} levels of nesting")
        if any(isinstance(value, str) and re.search("[\ud800-\udfff]", value) for value in level):
            raise Unfit("text with half of a surrogate pair in it cannot be stored")
        mappings = [value for value in level if isinstance(value, Mapping)]
        lists = [value for value in level if isinstance(value, list)]
        level = [item for mapping in mappings for pair in mapping.items() for item in pair]
        level += [item for entries in lists for item in entries]
        depth += 1
