"""Makes a page of a report: a template with the style sheet, under a policy that lets it load and run nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from builder.plain_text import plain
from builder.plan.format import duration, green_count

_FOLDER = Path(__file__).parent


def render_page(template: str, **values: Any) -> bytes:
    """Return the page that this template makes of the values. All texts are escaped."""
    style = (_FOLDER / "index.css").read_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _environment().get_template(template).render(style=style, style_hash=digest, **values).encode()


@functools.cache
def _environment() -> Environment:
    """Return the environment, which keeps the compiled templates."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, green_count=green_count, plain=plain)
    return environment


def _shown(value: object) -> object:
    """Return a text of the run without control characters. Markup is the template's own."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
