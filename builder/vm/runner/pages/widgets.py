"""Renders widgets as the text that they show, from the state that papermill stores in the notebook."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

VIEW = "application/vnd.jupyter.widget-view+json"
_STATE = "application/vnd.jupyter.widget-state+json"
_MAX_DEPTH = 20  # boxes within boxes
MAX_WIDGETS = 500  # in one output

RenderOutput = Callable[[Mapping[str, Any]], str]


class Widgets:
    """The widgets of one notebook, by the id of their model."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        stored = metadata.get("widgets")
        state = stored.get(_STATE) if isinstance(stored, dict) else None
        found = state.get("state") if isinstance(state, dict) else None
        self._models: Mapping[str, Any] = found if isinstance(found, dict) else {}
        self._left = 0

    def render(self, view: object, render_output: RenderOutput) -> str:
        """Return a widget as HTML, which is not sanitized yet; empty for one that shows no text.

        `render_output` returns an output of an Output widget as harmless HTML.
        """
        self._left = MAX_WIDGETS
        model = view.get("model_id") if isinstance(view, dict) else None
        return self._model(model, render_output, _MAX_DEPTH)

    def _model(self, model: object, render_output: RenderOutput, depth: int) -> str:
        entry = self._models.get(model) if isinstance(model, str) else None
        state = entry.get("state") if isinstance(entry, dict) else None
        if not isinstance(state, dict) or depth == 0 or self._left == 0:
            return ""
        self._left -= 1
        name = str(entry.get("model_name", "")) if isinstance(entry, dict) else ""
        children = state.get("children")
        if isinstance(children, list):
            inside = [self._model(_reference(child), render_output, depth - 1) for child in children]
            tag = "span" if name == "HBoxModel" else "div"
            return " ".join(f"<{tag}>{part}</{tag}>" for part in inside if part)
        if name == "OutputModel":
            outputs = state.get("outputs")
            return "".join(
                render_output(output)
                for output in (outputs if isinstance(outputs, list) else [])
                if isinstance(output, dict)
            )
        return _shown(name, state)


def _reference(child: object) -> str:
    return str(child).removeprefix("IPY_MODEL_")


def _shown(name: str, state: Mapping[str, Any]) -> str:
    """Return the text of a single widget: its description and its value."""
    value = state.get("value")
    if name in {"HTMLModel", "HTMLMathModel"}:
        text = str(value or "")
    elif name in {"FloatProgressModel", "IntProgressModel"}:
        text = html.escape(f"{_number(value)} of {_number(state.get('max'))}")
    elif isinstance(value, str | int | float):
        text = html.escape(str(value))
    else:
        text = ""
    description = html.escape(str(state.get("description") or ""))
    return f"{description} {text}".strip()


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "?"
