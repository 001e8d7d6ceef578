"""Parameters of a notebook: single values, and under `matrix` lists of values that fan out into jobs.

`{"city": "Paris", "matrix": {"days": [7, 30]}}` makes two jobs, one with days 7 and one with days 30, both with the
city.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from builder.options.values import MAX_DEPTH, InvalidValue, Schema, ValueType, refuse
from builder.vm.secret_like import has_known_form, names_secret

MATRIX = "matrix"
PARAMETERS: Schema = {"type": ["object", "string"]}
MAX_POINTS = 256  # jobs that one notebook may fan out into

Fault = tuple[str, str]  # the wrong name, and what is expected


@dataclass(frozen=True)
class Point:
    """One job's parameters. `chosen` has those from the matrix, by name."""

    parameters: Mapping[str, Any]
    chosen: Mapping[str, Any]


def fan_out(given: Mapping[str, Any]) -> tuple[Point, ...]:
    """Return one point per job. The last name of the matrix changes fastest; without a matrix, there is one job."""
    matrix = _matrix(given)
    chosen = (dict(zip(matrix, values, strict=True)) for values in itertools.product(*matrix.values()))
    return tuple(Point({**plain(given), **point}, point) for point in chosen)


def plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are equal in every job."""
    return {name: value for name, value in given.items() if name != MATRIX}


def names_and_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters by name; for one in the matrix, its list of values."""
    return {**plain(given), **_matrix(given)}


def merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, name by name, also within the matrix; `upper` wins."""
    matrix = {**_matrix(lower), **_matrix(upper)}
    return {**plain(lower), **plain(upper), **({MATRIX: matrix} if matrix else {})}


def faults(given: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the faults of names and matrix. Never repeats a value, which may be private."""
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
    if count > MAX_POINTS:
        sizes = " x ".join(str(len(values)) for values in matrix.values())
        yield MATRIX, f"{sizes} makes {count} jobs; at most {MAX_POINTS} for a notebook"


def _matrix(given: Mapping[str, Any]) -> Mapping[str, Any]:
    matrix = given.get(MATRIX, {})
    return matrix if isinstance(matrix, Mapping) else {}


def _name_faults(name: object) -> Iterator[Fault]:
    # A name becomes the left side of an assignment in the notebook; anything else would be code.
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name):
        yield str(name), "expected a parameter's name: letters, digits and _, not beginning with a digit"


def _list_faults(given: Mapping[str, Any], name: str, values: object) -> Iterator[Fault]:
    yield from _name_faults(name)
    if name == MATRIX:
        yield name, "a matrix cannot contain a matrix"
    elif name in given:
        yield name, "is given both by itself and in the matrix: choose one"
    if not isinstance(values, list):
        yield name, "expected a list of values in the matrix; for a single value, leave it out of the matrix"
    elif not values:
        yield name, "expected at least one value in the matrix; an empty list would mean no job at all"
    else:
        import json  # here: few runs have a matrix

        # As text: 1, 1.0 and True are equal in Python, but not for a notebook.
        texts = [json.dumps(value, sort_keys=True) for value in values]
        again = next((place for place, text in enumerate(texts, 1) if text in texts[: place - 1]), None)
        if again:
            yield name, f"value {again} of {len(values)} in the matrix occurs twice"


def parse_parameters(value: object) -> Mapping[str, Any]:
    """Return parameters from a mapping of names to JSON values, or from its text in JSON or YAML."""
    if isinstance(value, str):
        from builder.options.yaml_text import read_data

        value = read_data(value)
    if not isinstance(value, Mapping):
        raise InvalidValue('expected a mapping in JSON or YAML, such as {"city": "Paris", "days": 7}')
    _check_json(value)
    refuse(faults(value))
    return {key: _plain_data(item) for key, item in value.items()}


def _plain_data(value: Any) -> Any:
    """Return the data in Python's own lists and dictionaries."""
    if isinstance(value, Mapping):
        return {key: _plain_data(item) for key, item in value.items()}
    return [_plain_data(item) for item in value] if isinstance(value, list) else value


def _check_json(data: object) -> None:
    """Raise InvalidValue for data that JSON in UTF-8 cannot carry. Never repeats a value, which may be private."""
    level, depth = [data], 0
    while level:
        if depth > MAX_DEPTH:
            raise InvalidValue(f"at most {MAX_DEPTH} levels of nesting")
        if any(isinstance(value, str) and re.search("[\ud800-\udfff]", value) for value in level):
            raise InvalidValue("text with half of a surrogate pair in it cannot be stored")
        mappings = [value for value in level if isinstance(value, Mapping)]
        lists = [value for value in level if isinstance(value, list)]
        level = [item for mapping in mappings for pair in mapping.items() for item in pair]
        level += [item for entries in lists for item in entries]
        depth += 1


parameters = ValueType(parse_parameters, PARAMETERS, dict)


# -- secrets --------------------------------------------------------------------------------------------------------


def secrets_in(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of parameters that look like secrets, by the name of a text or by its form."""
    for name, value in names_and_values(given).items():
        if any(_is_secret(key, text) for key, text in _texts(name, value)):
            yield name


def _is_secret(name: str, text: str) -> bool:
    return bool(text.strip()) and (names_secret(name) or has_known_form(text))


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield every text in the value, with its name."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            # A mapping with the name of a secret counts as a secret. Its keys do not matter.
            yield from _texts(name if names_secret(name) else str(key), item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(name, item)
