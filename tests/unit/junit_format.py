"""The JUnit XML format as a table, and the faults of a document that does not keep to it.

There is no official schema. The table is what two public ones have in common: that of Jenkins' xUnit plugin, which
allows more elements, and that of Apache Ant, which asks for an order. A document without faults is valid in the former.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

_COUNT = re.compile(r"[0-9]+")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]{1,3})?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_ANY = re.compile(r".*", re.DOTALL)
_NAME = re.compile(r".+", re.DOTALL)
_COUNTS = {"tests": _COUNT, "failures": _COUNT, "errors": _COUNT}
_WHY = {"type": _ANY, "message": _ANY}
_RESULTS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


@dataclass(frozen=True)
class _Form:
    """An element: the children in their order, its required and optional attributes, and whether it has text."""

    children: tuple[str, ...] = ()
    required: dict[str, re.Pattern[str]] | None = None
    optional: dict[str, re.Pattern[str]] | None = None
    text: bool = False


_FORMS = {
    "testsuites": _Form(("testsuite",), optional={"name": _ANY, "time": _SECONDS, **_COUNTS}),
    "testsuite": _Form(
        ("properties", "testcase", "system-out", "system-err"),
        required={"name": _NAME, **_COUNTS},
        optional={"time": _SECONDS, "timestamp": _TIME, "skipped": _COUNT, "hostname": _ANY},
    ),
    "properties": _Form(("property",)),
    "property": _Form(required={"name": _NAME, "value": _ANY}),
    "testcase": _Form(
        ("skipped", "error", "failure", "system-out", "system-err"),
        required={"name": _NAME, "classname": _NAME},
        optional={"time": _SECONDS},
    ),
    "failure": _Form(optional=_WHY, text=True),
    "error": _Form(optional=_WHY, text=True),
    "skipped": _Form(optional=_WHY, text=True),
    "system-out": _Form(text=True),
    "system-err": _Form(text=True),
}


def junit_faults(document: bytes) -> list[str]:
    """Return what is wrong with a document. Raises ParseError if it is no XML."""
    root = ET.fromstring(document)
    if root.tag != "testsuites":
        return [f"the root is {root.tag}"]
    return [*_faults(root), *_wrong_counts(root)]


def _faults(element: ET.Element) -> Iterator[str]:
    form = _FORMS[element.tag]
    required, optional = form.required or {}, form.optional or {}
    yield from (f"{element.tag} lacks {name}" for name in required if name not in element.attrib)
    for name, value in element.attrib.items():
        pattern = (required | optional).get(name)
        if pattern is None:
            yield f"{element.tag} has no attribute {name}"
        elif not pattern.fullmatch(value):
            yield f"{element.tag} {name} is {value!r}"
    if not form.text and "".join([element.text or "", *(child.tail or "" for child in element)]).strip():
        yield f"{element.tag} holds text"
    tags = [child.tag for child in element]
    strange = [tag for tag in tags if tag not in form.children]
    yield from (f"{element.tag} holds {tag}" for tag in strange)
    if not strange and tags != sorted(tags, key=form.children.index):
        yield f"{element.tag} holds {', '.join(tags)} in this order"
    if element.tag == "testcase" and sum(tag in _RESULTS for tag in tags) > 1:
        yield "testcase has two results"
    for child in element:
        if child.tag in form.children:
            yield from _faults(child)


def _wrong_counts(root: ET.Element) -> Iterator[str]:
    for suite in root:
        yield from _differing(suite, suite.findall("testcase"))
    yield from _differing(root, root.findall("testsuite/testcase"))


def _differing(element: ET.Element, cases: list[ET.Element]) -> Iterator[str]:
    """Yield the counts of an element that are not those of its test cases."""
    found = {"tests": len(cases)}
    found |= {count: sum(case.find(tag) is not None for case in cases) for tag, count in _RESULTS.items()}
    for name, number in found.items():
        if name in element.attrib and element.get(name) != str(number):
            yield f"{element.tag} {name} is {element.get(name)}, and there are {number}"
