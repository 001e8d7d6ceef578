"""Options as a command gets them: loaded without a mistake, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builder import options
from builder.errors import BadInput
from builder.options import Options
from builder.options.load import ReadFile


def load_options(argv: Sequence[str], env: Mapping[str, str], read_file: ReadFile) -> Options:
    """Return the options. Raises BadInput with all mistakes in them."""
    loaded, problems = options.load_options(argv, env, read_file)
    if problems:
        raise BadInput(problems)
    return loaded
