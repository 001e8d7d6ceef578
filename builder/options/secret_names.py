"""Reads which secrets a notebook gets, in which variables. Never repeats what may be a value that was given by mistake."""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder.options.google_names import PROJECT
from builder.options.values import Unfit, items

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
# What the machine, Jupyter, Python, Google's clients or this tool read themselves.
_OWNED = (
    r"PATH|HOME|TMPDIR|USER|LOGNAME|SHELL|LANG|LC_.*|TZ|ENV|BASH_ENV|LD_.*|PYTHON.*|IPYTHON.*|JUPYTER.*|JPY_.*|PAPERMILL.*|"
    r"NB_.*|CLOUDSDK_.*|GCE_METADATA_.*|GOOGLE_APPLICATION_CREDENTIALS|GOOGLE_CLOUD_PROJECT"
)
_VERSION = r"(?:[1-9][0-9]{0,9}|[A-Za-z][A-Za-z0-9_-]{0,62})"  # a number, an alias, or latest
_RESOURCE = rf"projects/(?:{PROJECT}|[0-9]{{6,20}})/secrets/[A-Za-z0-9_-]{{1,255}}/versions/{_VERSION}"
_LINE = "expected NAME=projects/PROJECT/secrets/SECRET/versions/VERSION"
_FORM = "expected projects/PROJECT/secrets/SECRET/versions/VERSION, the version a number, an alias or latest"
_MOST = 100


def secrets(value: object) -> Mapping[str, str]:
    """`NAME=projects/P/secrets/S/versions/V` text, or a mapping of variables to such names; every mistake is reported."""
    found: dict[str, str] = {}
    faults: list[tuple[object, str]] = []
    for number, (name, resource) in enumerate(_pairs(value), start=1):
        # Without anything behind an equals sign, the name may be the value itself.
        told = resource is not None and str(resource).strip("= ") != ""
        place = name if told and re.fullmatch(_NAME, name) else f"entry {number}"
        expected = "this variable is given twice" if name in found else _mistake(name, resource)
        if expected:
            faults.append((place, expected))
        else:
            found[name] = str(resource).strip()
    if len(found) > _MOST:
        faults.append(("…", f"at most {_MOST} secrets"))
    if faults:
        together = Unfit(faults[0][1])
        together.faults = faults
        raise together
    return found


def _pairs(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(str(name), resource) for name, resource in value.items()]
    try:
        entries = items(value)
    except Unfit as unfit:
        raise Unfit(str(unfit), "…") from None
    pairs: list[tuple[str, object]] = []
    for entry in entries:
        name, equals, resource = str(entry).partition("=")
        pairs.append((name.strip(), resource.strip() if equals else None))
    return pairs


def _mistake(name: str, resource: object) -> str:
    if resource is None:
        return _LINE
    if not re.fullmatch(_NAME, name):
        return "expected a variable's name: letters, digits and _, not beginning with a digit"
    if re.fullmatch(_OWNED, name):
        return "this variable belongs to the machine, to Jupyter or to this tool; choose another name"
    if not isinstance(resource, str) or not re.fullmatch(_RESOURCE, resource.strip()):
        return _FORM
    return ""
