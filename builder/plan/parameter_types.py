"""The types of a notebook's parameters, which a message's values must have. Pure; never executes a notebook's code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from builder.model import Notebook
from builder.options.message import ParameterTypes, type_of
from builder.options.parameters import names_and_values, plain

if TYPE_CHECKING:
    import ast


def parameter_types(notebook: Notebook, given: Mapping[str, Any]) -> ParameterTypes:
    """Return the type of each parameter that the notebook declares: of the given value, else of its literal default.

    `given` has the form of NB_PARAMETERS; of a list in its matrix, the first value counts. "" is an unknown type. A
    notebook whose declarations cannot be read declares the given parameters.
    """
    single = plain(given)
    known = {
        name: type_of(value if name in single else value[0])
        for name, value in names_and_values(given).items()
    }
    if notebook.declared_parameters is None:
        return known
    defaults = {name: type_of(value) for name, value in _literal_defaults(notebook).items()}
    return {name: known.get(name, defaults.get(name, "")) for name in sorted(notebook.declared_parameters)}


def _literal_defaults(notebook: Notebook) -> dict[str, Any]:
    """Return the literal values that the tagged cell assigns, by name; the last assignment counts."""
    at = notebook.parameters_at
    source = next((cell.source for cell in notebook.code_cells if cell.position == at), "")
    import ast  # here: only scheduled runs and `deploy` need it
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the notebook's invalid escapes
            tree = ast.parse(source)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return {}
    return dict(_assigned(tree))


def _assigned(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    import ast

    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        try:
            value = ast.literal_eval(node.value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            value = None  # computed: of any type
        yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))
