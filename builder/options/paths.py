"""Types of option values that are paths or globs inside the workspace, and of expected files."""

from __future__ import annotations

import re
import unicodedata

from builder.globs import is_glob
from builder.model import Expectation
from builder.options.values import NONE, TEXT, InvalidValue, ValueType, parse_text

MAX_NAME = 255  # bytes of UTF-8; a file system's limit
MAX_PATH = 800  # bytes of UTF-8; leaves room for the prefix in an object's name
MAX_OBJECT_BYTES = 5 * 2**40  # bytes; Cloud Storage's limit for one object
_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmg", 1)}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmg", 1)}
_SIZE = r"([0-9]{1,15})(?:\.([0-9]{1,6}))? ?([A-Za-z]{0,3})"


def parse_path(value: object) -> str:
    """Return a relative path or glob, with `/` between folders and without a leading `./`. Raises InvalidValue."""
    path = parse_text(value)
    while path.startswith("./"):
        path = path[2:]
    parts = path.split("/")
    if path.startswith(("/", "~")) or "\\" in path or ".." in parts:
        raise InvalidValue("expected a relative path with / between folders and no .. in it")
    if any(part in {"", "."} for part in parts):
        raise InvalidValue("expected a relative path without empty folder names")
    if unicodedata.normalize("NFC", path) != path:
        raise InvalidValue(
            "expected letters in Unicode's composed form (NFC); type the name again or rename the file"
        )
    if any(len(part.encode()) > MAX_NAME for part in parts) or len(path.encode()) > MAX_PATH:
        raise InvalidValue(f"at most {MAX_NAME} bytes per name and {MAX_PATH} in all")
    return path


def write_path(path: str) -> str:
    """Return the path so that it reads back as it is, even if it begins with a space or is the word `none`."""
    return f"./{path}" if path != path.strip() or path.lower() == NONE else path


def parse_file(value: object) -> str:
    """Return the path of one file inside the workspace. Raises InvalidValue."""
    path = parse_path(value)
    if is_glob(path):
        raise InvalidValue("expected the path of one file, not a glob")
    return path


def _parse_notebook(value: object) -> str:
    path = parse_path(value)
    if not path.endswith(".ipynb") and not is_glob(path):
        raise InvalidValue("expected a path that ends with .ipynb, or a glob like reports/*.ipynb")
    return path


def _parse_expectation(value: object) -> Expectation:
    """Return the expectation in `glob`, or in `glob>=SIZE`."""
    glob, at_least, minimum = parse_text(value).partition(">=")
    if any(sign in glob + minimum for sign in "<>") or glob.rstrip().endswith("="):
        raise InvalidValue("expected a glob, or glob>=SIZE such as outputs/*.csv>=10KB")
    return Expectation(parse_path(glob), _parse_size(minimum) if at_least else 1)


def _parse_size(value: object) -> int:
    """Return a size in bytes of text such as `500`, `10KB`, `1.5 MiB`; fractions are rounded up."""
    match = re.fullmatch(_SIZE, parse_text(value))
    unit = _UNITS.get(match[3].lower()) if match else None
    if match is None or unit is None:
        raise InvalidValue("expected a size like 500, 10KB or 2MiB (units B, KB, KiB, MB, MiB, GB, GiB)")
    whole, fraction = match[1], match[2] or ""
    result: int = -(-int(whole + fraction) * unit // 10 ** len(fraction))
    if result > MAX_OBJECT_BYTES:
        raise InvalidValue("at most 5 TiB, the largest object that Cloud Storage holds")
    return result


def _write_expectation(value: Expectation) -> str:
    return write_path(value.glob) + (f">={value.minimum_bytes}" if value.minimum_bytes != 1 else "")


relative_path = ValueType(parse_path, TEXT, write_path)
workspace_file = ValueType(parse_file, TEXT, write_path)
notebook_pattern = ValueType(_parse_notebook, TEXT, write_path)
expectation = ValueType(_parse_expectation, TEXT, _write_expectation)
