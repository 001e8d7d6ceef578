"""Types of the options that prepare a notebook's environment on the VM: variables, certificates, package index."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from builder.globs import is_glob
from builder.options.google_names import is_bucket
from builder.options.parameters import secrets_in
from builder.options.paths import parse_file, write_path
from builder.options.values import (
    PAIRS,
    TEXT,
    InvalidValue,
    ValueType,
    items,
    key_values,
    parse_each,
    parse_text,
)

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
# Variables that this tool, Jupyter or Google's clients set, and those that load other code into every process.
_OWNED = re.compile(
    r"PATH|HOME|TMPDIR|USER|LOGNAME|SHELL|BASH_ENV|ENV|IPYTHONDIR|LD_PRELOAD|LD_AUDIT|GOOGLE_APPLICATION_CREDENTIALS|"
    r"(?:NB|JUPYTER|PAPERMILL|CLOUDSDK|GCE_METADATA)_.*"
)
# Python's variables that neither move its packages nor disable assertions.
_PYTHON_ALLOWED = frozenset(
    {
        "PYTHONHASHSEED",
        "PYTHONWARNINGS",
        "PYTHONUTF8",
        "PYTHONUNBUFFERED",
        "PYTHONFAULTHANDLER",
        "PYTHONTRACEMALLOC",
        "PYTHONDEVMODE",
    }
)
_WITH_COMMA = (
    "a comma or a line's end begins the next variable; put a value that has one into notebooks.yaml, such as "
    'env: {HOSTS: "a.example,b.example"}'
)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _parse_environment(value: object) -> Mapping[str, str]:
    """Return the variables in a mapping of names to text, or in `NAME=value` text; a value may be empty."""
    if isinstance(value, str):
        _check_commas(value)
    return dict(parse_each(key_values(value), _variable))


def _check_commas(text: str) -> None:
    """Raise InvalidValue if a value seems to have a comma, with the variable's name only."""
    name = ""
    for part in items(text):
        before, equals, _ = str(part).partition("=")
        if not equals and name:
            raise InvalidValue(_WITH_COMMA, name)
        name = before.strip()


def _variable(pair: tuple[str, object]) -> tuple[str, str]:
    """Return one variable. Raises InvalidValue with its name only, since its value may be private."""
    name, content = pair
    if not re.fullmatch(_NAME, name):
        raise InvalidValue(
            "expected a variable's name: letters, digits and _, not beginning with a digit", name
        )
    if _OWNED.fullmatch(name) or (name.startswith("PYTHON") and name not in _PYTHON_ALLOWED):
        expected = "this variable belongs to the machine, to Jupyter or to this tool; choose another name"
        raise InvalidValue(expected, name)
    try:
        return name, "" if content == "" else parse_text(content)
    except InvalidValue as invalid:
        raise InvalidValue(str(invalid), name) from None


def secret_names(env: Mapping[str, str]) -> list[str]:
    """Return the variables that look like secrets, as parameters may, and every KEY."""
    keys = (name for name in env if re.search(r"(?:^|_)KEYS?$", name.upper()))
    return list(dict.fromkeys([*secrets_in(env), *keys]))


def _parse_ca_bundle(value: object) -> str:
    """Return the path of a file inside the workspace, or a `gs://bucket/object`."""
    address = parse_text(value)
    if not address.startswith("gs://"):
        return parse_file(value)
    bucket, _, name = address.removeprefix("gs://").partition("/")
    if not is_bucket(bucket) or not name or name.endswith("/") or is_glob(name):
        raise InvalidValue("expected a file in the workspace or gs://BUCKET/OBJECT")
    return address


def _parse_index_url(value: object) -> str:
    """Return the address of a package index: https, or http on this machine, and without credentials."""
    address = parse_text(value)
    expected = "expected an https:// address of a package index, such as https://packages.example.com/simple"
    try:
        parts = urlsplit(address)
        host, has_port = parts.hostname, parts.port != 0
    except ValueError:
        raise InvalidValue(expected, "") from None
    if parts.username is not None or parts.password is not None:
        # The value holds credentials, so the message omits it.
        raise InvalidValue(
            "an address with credentials would be stored in plain text; use an index that needs none, or "
            "Artifact Registry, where the VM's own account is used",
            "…",
        )
    if parts.query or parts.fragment or not host or not has_port or re.search(r"\s", address):
        raise InvalidValue(expected)
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise InvalidValue(expected)
    return address


environment = ValueType(_parse_environment, PAIRS, dict)
ca_bundle = ValueType(_parse_ca_bundle, TEXT, write_path)
index_url = ValueType(_parse_index_url, TEXT)
