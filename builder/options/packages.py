"""Reads the options that prepare a notebook's environment on the VM: plain variables, files of the workspace, the package index."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from builder.options.parameters import secrets_in
from builder.options.values import Unfit, is_glob, key_values, parse_each, relative_path, text

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
# What the product, Jupyter or Google's clients set themselves, or what would load other code into every process.
_OWNED = re.compile(
    r"PATH|HOME|TMPDIR|USER|LOGNAME|SHELL|BASH_ENV|ENV|IPYTHONDIR|LD_PRELOAD|LD_AUDIT|GOOGLE_APPLICATION_CREDENTIALS|"
    r"(?:NB|JUPYTER|PAPERMILL|CLOUDSDK|GCE_METADATA)_.*"
)
# Python's own variables that neither move its packages nor take assertions away.
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
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def environment(value: object) -> Mapping[str, str]:
    """A mapping of variables' names to text, or `NAME=value` text; a value may be empty."""
    return dict(parse_each(key_values(value), _variable))


def _variable(pair: tuple[str, object]) -> tuple[str, str]:
    """One variable; mistakes are told by its name alone, since what is given as its value may be private."""
    name, content = pair
    if not re.fullmatch(_NAME, name):
        raise Unfit("expected a variable's name: letters, digits and _, not beginning with a digit", name)
    if _OWNED.fullmatch(name) or (name.startswith("PYTHON") and name not in _PYTHON_ALLOWED):
        expected = "this variable belongs to the machine, to Jupyter or to this tool; choose another name"
        raise Unfit(expected, name)
    try:
        return name, "" if content == "" else text(content)
    except Unfit as unfit:
        raise Unfit(str(unfit), name) from None


def secret_names(env: Mapping[str, str]) -> list[str]:
    """The variables that look like secrets: as parameters do, and every KEY."""
    keys = (name for name in env if re.search(r"(?:^|_)KEYS?$", name.upper()))
    return list(dict.fromkeys([*secrets_in(env), *keys]))


def workspace_file(value: object) -> str:
    """The path of one file inside the workspace."""
    path = relative_path(value)
    if is_glob(path):
        raise Unfit("expected the path of one file, not a glob")
    return path


def index_url(value: object) -> str:
    """The address of a package index: https, or http on this very machine; never with credentials in it."""
    address = text(value)
    expected = "expected an https:// address of a package index, such as https://packages.example.com/simple"
    try:
        parts = urlsplit(address)
        host, has_port = parts.hostname, parts.port != 0
    except ValueError:
        raise Unfit(expected, "") from None
    if parts.username is not None or parts.password is not None:
        # Without the value: it holds what must not be printed either.
        raise Unfit(
            "an address with credentials would be stored in plain text; use an index that needs none, or Artifact Registry, "
            "where the VM's own account is used",
            "…",
        )
    if parts.query or parts.fragment or not host or not has_port or re.search(r"\s", address):
        raise Unfit(expected)
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise Unfit(expected)
    return address
