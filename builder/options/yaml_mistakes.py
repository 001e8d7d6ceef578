"""Says what was expected where YAML text is not valid, in the words of the text's author.

The parser names the place and its own state. The characters around the place tell which mistake it is. Each rule looks
at most at the line of the place and at the line above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import yaml

TAB = "expected spaces, not a tab: indent with two spaces, and write one space after a colon, such as timeout: 2400"
QUOTE = 'this quote is not closed; write the same quote at the end of the value, such as kernel: "python3"'
AFTER_QUOTE = (
    "the value goes on after its closing quote; quote all of it, and write a quote within single quotes twice, "
    "such as setup: 'echo it''s'"
)
BACKSLASH = r"double quotes give a backslash a meaning of its own; use single quotes, such as pattern: '\d+'"
COLON = 'a value that has a colon and a space in it needs quotes, such as setup: "echo note: done"'
NO_SPACE = "expected a space after the colon, such as timeout: 2400"
NO_COLON = "expected an option, a colon, a space, and a value, such as timeout: 2400"
DASH = "expected a space after the dash, such as - us-central1-a"
INDENTATION = (
    "this line's indentation fits no line above; options that belong together begin in the same column"
)
DEEPER = "this line is indented below an option that has a value already; begin both lines in the same column"
ITEM = (
    "expected an option, not an item of a list; write a list below its option, such as zones: [us-central1-a]"
)
NO_ITEM = (
    "expected another item of the list above, which begins with a dash. An option of an item begins in the column of the "
    "item's first option, such as timeout: 600 below the p of - path: a.ipynb"
)
BRACKETS = "expected a list in brackets, such as zones: [us-central1-a, us-central1-b]"
OPEN = 'this bracket is not closed. Close it, or quote text that begins so, such as day: "{today}"'
CLOSED = 'no bracket was opened for this one. Remove it, or quote text that has it, such as name: "a]"'
COMMA = "expected a comma between the values in brackets, such as {days: 7, city: Bern}"
BRACE = 'a value that begins with { or [ needs quotes, such as day: "{today}"'
STAR = (
    'text that begins with * or & needs quotes, such as include: "*.py"; anchors and aliases are not accepted'
)
TAG = 'text that begins with ! needs quotes, such as setup: "!important"; tags are not accepted'
CONFLICT = "this is git's mark of a merge conflict; resolve the conflict, and remove the marks"
_MARKS = ("<<<<<<<", "=======", ">>>>>>>")


def needs_quotes(character: str) -> str:
    """Return what to write for a value that begins with this character."""
    return f'a value that begins with {character} needs quotes, such as kernel: "{character}name"'


@dataclass(frozen=True)
class Place:
    """A place in the text: the parser's mark, with the lines around it. `line` and `column` count from 1."""

    text: str
    index: int
    line: int
    column: int

    @classmethod
    def of(cls, text: str, mark: yaml.Mark) -> Place:
        """Return the place of a mark of PyYAML, which counts from 0."""
        return cls(text, min(mark.index, len(text)), mark.line + 1, mark.column + 1)

    @property
    def character(self) -> str:
        """The character at the place; empty at the end of the text."""
        return self.text[self.index : self.index + 1]

    @property
    def before(self) -> str:
        """The part of the line before the place."""
        return self.text[self.text.rfind("\n", 0, self.index) + 1 : self.index]

    @property
    def whole_line(self) -> str:
        """The line, without its end."""
        end = self.text.find("\n", self.index)
        return self.before + self.text[self.index : end if end >= 0 else len(self.text)].rstrip("\r")

    def above(self) -> Place | None:
        """Return the first character of the line above; None on the first line."""
        end = self.text.rfind("\n", 0, self.index)
        if end < 0:
            return None
        begin = self.text.rfind("\n", 0, end) + 1
        indent = len(self.text[begin:end]) - len(self.text[begin:end].lstrip())
        return Place(self.text, begin + indent, self.line - 1, indent + 1)


Found = tuple[str, Place]


def explained(text: str, error: yaml.MarkedYAMLError) -> tuple[str, int, int]:
    """Return what was expected, and its line and column from 1."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return NO_COLON, 1, 1
    here = Place.of(text, mark)
    begin = Place.of(text, error.context_mark) if error.context_mark else here
    said = f"{error.context or ''}: {error.problem or ''}"
    expected, place = _conflict(here) or _conflict(begin) or _rule(said, here, begin)
    return expected, place.line, place.column


def _conflict(place: Place) -> Found | None:
    for near in (place, place.above()):
        if near is not None and near.whole_line.startswith(_MARKS):
            return CONFLICT, near
    return None


def _rule(said: str, here: Place, begin: Place) -> Found:
    for words, rule in _RULES:
        if words in said:
            return rule(here, begin)
    return NO_COLON, here


def _token(here: Place, _: Place) -> Found:
    return (TAB if here.character == "\t" else needs_quotes(here.character)), here


def _second_colon(here: Place, _: Place) -> Found:
    """The colon at the place cannot follow a key: a value has it, or what is above is no complete line."""
    above = here.above()
    if ": " in here.before or above is None:
        return COLON, here
    line = above.whole_line.strip()
    if ": " not in line and not line.endswith(":"):
        return (NO_SPACE if ":" in line else NO_COLON), above
    first = len(here.before) - len(here.before.lstrip())
    return DEEPER, Place(here.text, here.index - len(here.before) + first, here.line, first + 1)


def _no_colon(_: Place, begin: Place) -> Found:
    line = begin.whole_line.strip()
    if line.startswith("-") and not line.startswith("- "):
        return DASH, begin
    return (NO_SPACE if ":" in line else NO_COLON), begin


def _no_end(here: Place, _: Place) -> Found:
    """A mapping or list has something behind it that is none of its parts."""
    last = here.before.rstrip()[-1:]
    if here.character in ("]", "}"):
        return CLOSED, here
    if here.character == ",":
        return BRACKETS, here
    if last in ("'", '"'):
        return AFTER_QUOTE, here
    if last in ("]", "}"):
        return BRACE, here
    if here.character == "-" and not last:
        return ITEM, here
    return INDENTATION, here


def _no_list_end(here: Place, begin: Place) -> Found:
    found, place = _no_end(here, begin)
    return (NO_ITEM if found in (INDENTATION, ITEM) else found), place


def _in_brackets(here: Place, begin: Place) -> Found:
    return (COMMA, here) if here.line == begin.line and here.character else (OPEN, begin)


def _no_value(here: Place, _: Place) -> Found:
    if not here.character:
        return OPEN, here
    return (CLOSED if here.character in ("]", "}") else needs_quotes(here.character)), here


def _at(expected: str) -> Callable[[Place, Place], Found]:
    return lambda here, _: (expected, here)


# Words of PyYAML's "context: problem", and the rule for them. The first match counts.
_RULES: tuple[tuple[str, Callable[[Place, Place], Found]], ...] = (
    ("cannot start any token", _token),
    ("unknown escape character", _at(BACKSLASH)),
    ("expected escape sequence", _at(BACKSLASH)),
    ("quoted scalar", lambda _, begin: (QUOTE, begin)),
    ("mapping values are not allowed", _second_colon),
    ("mapping keys are not allowed", _no_value),
    ("could not find expected ':'", _no_colon),
    ("sequence entries are not allowed", _at(ITEM)),
    ("parsing a block mapping: expected <block end>", _no_end),
    ("parsing a block collection: expected <block end>", _no_list_end),
    ("<document start>", _no_end),
    ("parsing a flow mapping", _in_brackets),
    ("parsing a flow sequence", _in_brackets),
    ("scanning an alias", lambda _, begin: (STAR, begin)),
    ("scanning an anchor", lambda _, begin: (STAR, begin)),
    ("scanning a tag", lambda _, begin: (TAG, begin)),
    ("parsing a tag", lambda _, begin: (TAG, begin)),
    ("parsing a node: found undefined tag handle", lambda _, begin: (TAG, begin)),
    ("scanning a block scalar", lambda _, begin: (needs_quotes(begin.character), begin)),
    ("scanning a directive", lambda _, begin: (needs_quotes("%"), begin)),
    ("expected the node content", _no_value),
)
