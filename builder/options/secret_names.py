"""The types of NB_SECRETS and NB_COMMENT_TOKEN.

Messages never repeat text that may be a secret's value, given by mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder.options.google_names import PROJECT
from builder.options.values import TEXT, InvalidValue, Schema, ValueType, items, refuse

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
# Variables that the machine, Jupyter, Python, Google's clients or this tool read.
_OWNED = (
    r"PATH|HOME|TMPDIR|USER|LOGNAME|SHELL|LANG|LC_.*|TZ|ENV|BASH_ENV|LD_.*|PYTHON.*|IPYTHON.*|JUPYTER.*|JPY_.*|PAPERMILL.*|"
    r"NB_.*|CLOUDSDK_.*|GCE_METADATA_.*|GOOGLE_APPLICATION_CREDENTIALS|GOOGLE_CLOUD_PROJECT"
)
_VERSION = r"(?:[1-9][0-9]{0,9}|[A-Za-z][A-Za-z0-9_-]{0,62})"  # a number, an alias, or latest
_RESOURCE = rf"projects/(?:{PROJECT}|[0-9]{{6,20}})/secrets/[A-Za-z0-9_-]{{1,255}}/versions/{_VERSION}"
_LINE = "expected NAME=projects/PROJECT/secrets/SECRET/versions/VERSION"
_FORM = "expected projects/PROJECT/secrets/SECRET/versions/VERSION, the version a number, an alias or latest"
_MAX_NAMES = 100


def _parse_secrets(value: object) -> Mapping[str, str]:
    """Return the secrets by variable, from `NAME=projects/P/secrets/S/versions/V` text or a mapping."""
    found: dict[str, str] = {}
    faults: list[tuple[object, str]] = []
    for number, (name, resource) in enumerate(_pairs(value), start=1):
        # If nothing follows an equals sign, the name may be the value itself.
        is_named = resource is not None and str(resource).strip("= ") != ""
        place = name if is_named and re.fullmatch(_NAME, name) else f"entry {number}"
        expected = "this variable is given twice" if name in found else _mistake(name, resource)
        if expected:
            faults.append((place, expected))
        else:
            found[name] = str(resource).strip()
    if len(found) > _MAX_NAMES:
        faults.append(("…", f"at most {_MAX_NAMES} secrets"))
    refuse(faults)
    return found


def _pairs(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(str(name), resource) for name, resource in value.items()]
    try:
        entries = items(value)
    except InvalidValue as invalid:
        raise InvalidValue(str(invalid), "…") from None
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


_SCHEMA: Schema = {"type": ["object", "array", "string"], "additionalProperties": TEXT, "items": TEXT}
secrets = ValueType(_parse_secrets, _SCHEMA, dict)


def _parse_version(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(_RESOURCE, value.strip()):
        raise InvalidValue(_FORM, "…")
    return value.strip()


secret_version = ValueType(_parse_version, TEXT)
