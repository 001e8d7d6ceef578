"""Embeds the pictures that a piece of HTML names, and says in their place why one is not shown."""

from __future__ import annotations

import base64
import html
import mimetypes
import re
from pathlib import Path
from urllib.parse import unquote

from . import tags

MAX_IMAGE = 10_000_000  # bytes of one picture
_SRC = re.compile(r"""(?<![\w-])src\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
_MAX_SHOWN = 200  # characters of an address in a note


def embedded(fragment: str, folder: Path) -> str:
    """Return the HTML with pictures of the notebook's folder as data. A note replaces every other picture but data."""
    return tags.replaced(fragment, tags.tags(fragment, r"<img\b"), lambda tag: _picture(tag, folder))


def _picture(tag: tags.Tag, folder: Path) -> str:
    found = _SRC.search(tag.attributes)
    if found is None:
        return f"<img{tag.attributes}>"
    source = html.unescape(found[1] or found[2] or found[3] or "").strip()
    if source[:5].lower() == "data:":
        return f"<img{tag.attributes}>"
    if _ADDRESS.match(source):
        return _note(f"A picture was here, from {source[:_MAX_SHOWN]}: this page loads nothing.")
    data = read(folder, source)
    if data is None:
        return _note(
            f"A picture was here: {source[:_MAX_SHOWN]} is not in the notebook's folder, or too large."
        )
    return f'<img{tag.attributes[: found.start()]}src="{data}"{tag.attributes[found.end() :]}>'


def read(folder: Path, name: str) -> str | None:
    """Return a picture of the folder as a data address; None if there is none, or one that is too large."""
    path = unquote(name.partition("?")[0].partition("#")[0])
    kind = mimetypes.guess_type(path)[0]
    try:
        file = (folder / path).resolve()
        if not file.is_relative_to(folder.resolve()) or file.stat().st_size > MAX_IMAGE:
            return None
        return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
    except (OSError, ValueError, RuntimeError):
        return None


def _note(text: str) -> str:
    return f"<em>[{html.escape(text)}]</em>"
