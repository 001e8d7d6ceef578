"""Parameters of a notebook: a mapping of plain ones, and under `matrix` lists of values that fan out into jobs.

`{"city": "Paris", "matrix": {"days": [7, 30]}}` is two jobs, one with days 7 and one with days 30, both with the city.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

MATRIX = "matrix"
MOST_POINTS = 256  # jobs that one notebook may fan out into

Fault = tuple[str, str]  # the name that is wrong, and what is expected there


@dataclass(frozen=True)
class Point:
    """One job's parameters; `chosen` are those that the matrix gave, by name."""

    parameters: Mapping[str, Any]
    chosen: Mapping[str, Any]


def fan_out(given: Mapping[str, Any]) -> tuple[Point, ...]:
    """The jobs that these parameters mean, the last of the matrix's names changing fastest; one job without a matrix."""
    matrix = _matrix(given)
    chosen = (dict(zip(matrix, values, strict=True)) for values in itertools.product(*matrix.values()))
    return tuple(Point({**plain(given), **point}, point) for point in chosen)


def plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are the same for every job."""
    return {name: value for name, value in given.items() if name != MATRIX}


def names_and_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter that some job gets; of those in the matrix, the list of values."""
    return {**plain(given), **_matrix(given)}


def merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Both, name by name, also within the matrix; where both give one, it is the upper's."""
    matrix = {**_matrix(lower), **_matrix(upper)}
    return {**plain(lower), **plain(upper), **({MATRIX: matrix} if matrix else {})}


def faults(given: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with the names, and with the matrix. Never repeats a value, which may be private."""
    yield from (fault for name in plain(given) for fault in _name_faults(name))
    if MATRIX not in given:
        return
    matrix = given[MATRIX]
    if not isinstance(matrix, Mapping) or not matrix:
        yield (
            MATRIX,
            'expected a mapping of names to lists, such as {"days": [7, 30]}; no parameter can have this name',
        )
        return
    found = [fault for name, values in matrix.items() for fault in _list_faults(given, str(name), values)]
    yield from found
    count = 1 if found else math.prod(len(values) for values in matrix.values())
    if count > MOST_POINTS:
        sizes = " x ".join(str(len(values)) for values in matrix.values())
        yield MATRIX, f"{sizes} makes {count} jobs; at most {MOST_POINTS} for a notebook"


def _matrix(given: Mapping[str, Any]) -> Mapping[str, Any]:
    matrix = given.get(MATRIX, {})
    return matrix if isinstance(matrix, Mapping) else {}


def _name_faults(name: object) -> Iterator[Fault]:
    # Names become the left side of an assignment in the notebook: anything else would be code.
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name):
        yield str(name), "expected a parameter's name: letters, digits and _, not beginning with a digit"


def _list_faults(given: Mapping[str, Any], name: str, values: object) -> Iterator[Fault]:
    yield from _name_faults(name)
    if name == MATRIX:
        yield name, "a matrix cannot stand in a matrix"
    elif name in given:
        yield name, "is given both by itself and in the matrix: choose one"
    if not isinstance(values, list):
        yield name, "expected a list of values in the matrix; for a single value, leave it out of the matrix"
    elif not values:
        yield name, "expected at least one value in the matrix; an empty list would mean no job at all"
    else:
        import json  # here: few runs have a matrix, and bad input is to be told at once

        # As text: to Python 1, 1.0 and True are equal, to a notebook they are not.
        texts = [json.dumps(value, sort_keys=True) for value in values]
        again = next((place for place, text in enumerate(texts, 1) if text in texts[: place - 1]), None)
        if again:
            yield name, f"value {again} of {len(values)} in the matrix stands there already"


# -- secrets --------------------------------------------------------------------------------------------------------

_SECRET = {
    *("password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "credential", "credentials", "bearer"),
    *("privatekey", "secretkey", "accesskey"),
}  # fmt: skip
_SECRET_PAIRS = {
    (first, "key") for first in ("api", "access", "private", "secret", "encryption", "signing", "account")
}
# What a name ends with that says how long, where or of which kind a secret is, and not which.
_ABOUT = {
    *("name", "names", "id", "ids", "type", "count", "length", "limit", "limits", "path", "file", "url", "uri", "column"),
    *("columns", "field", "fields", "version", "policy", "expiry", "ttl", "env", "var", "variable", "size", "index"),
}  # fmt: skip
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Values that say by their form what they are: keys of clouds and code hosts, private keys, signed tokens.
_KNOWN_FORMS = re.compile(
    r"AIza[\w-]{35}|ya29\.[\w-]{20,}|AKIA[A-Z0-9]{16}|gh[pousr]_\w{36}|github_pat_\w{22,}|glpat-[\w-]{20}|xox[abprs]-[\w-]{10,}"
    r"|sk-[\w-]{32,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    # From the beginning of a word, which is read once: the first eyJ in it has the longest rest.
    r"|(?<![\w-])(?>[\w-]*?eyJ)[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]{8}"
)


def secrets_in(given: Mapping[str, Any]) -> Iterator[str]:
    """The names of parameters that look like secrets: by their own name, if the value is text, or by the value's form."""
    for name, value in names_and_values(given).items():
        if any(_is_secret(key, text) for key, text in _texts(name, value)):
            yield name


def _is_secret(name: str, text: str) -> bool:
    return bool(text.strip()) and (_names_secret(name) or _KNOWN_FORMS.search(text) is not None)


def _names_secret(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    return bool(_SECRET.intersection(words) or _SECRET_PAIRS.intersection(itertools.pairwise(words)))


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Every text in the value, with the name it goes by."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            # A mapping that is called a secret holds one, whatever its keys are.
            yield from _texts(name if _names_secret(name) else str(key), item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(name, item)
