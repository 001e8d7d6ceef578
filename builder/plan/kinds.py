"""Of which kind each parameter of a notebook is: what a message may give for it. Pure; never executes a notebook's code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from builder.model import Notebook
from builder.options.message import Kinds, kind_of
from builder.options.parameters import names_and_values, plain

if TYPE_CHECKING:
    import ast


def parameter_kinds(notebook: Notebook, given: Mapping[str, Any]) -> Kinds:
    """Each parameter that the notebook declares, with the kind of the value given for it, else of its literal default.

    `given` is as in NB_PARAMETERS: of a `matrix` the first value counts. "" is a kind that cannot be told. A notebook whose
    declarations cannot be read declares what is given.
    """
    single = plain(given)
    known = {
        name: kind_of(value if name in single else value[0])
        for name, value in names_and_values(given).items()
    }
    if notebook.declared_parameters is None:
        return known
    defaults = {name: kind_of(value) for name, value in _literal_defaults(notebook).items()}
    return {name: known.get(name, defaults.get(name, "")) for name in sorted(notebook.declared_parameters)}


def _literal_defaults(notebook: Notebook) -> dict[str, Any]:
    """The values of the tagged cell's own assignments, as far as they are literals; the last one of a name counts."""
    at = notebook.parameters_at
    source = next((cell.source for cell in notebook.code_cells if cell.position == at), "")
    import ast  # here: only a run that has an event, and `deploy`, ask
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a notebook's own doubtful escapes
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
            value = None  # computed: of any kind
        yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))
