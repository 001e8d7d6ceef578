"""Redacts the executed notebook, its pages and text files, and finds values in other files, archives included."""

from __future__ import annotations

import bz2
import codecs
import gzip
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from builder.vm.protocol import Skipped

from .outputs import Output
from .redaction import Redactor, Stream

CHUNK_BYTES = 1 << 20
# Of an archive, all members together. The rest is not searched.
MAX_UNPACKED = 256 * CHUNK_BYTES
_BROKEN = (
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
_COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


def notebook(source: Path, target: Path, redactor: Redactor) -> Path:
    """Return the path of the executed notebook without values: `target`, or `source` if it has none."""
    content = source.read_bytes()
    written = content
    try:
        document = json.loads(content)
        redacted = redactor.json(_streams_redacted(document, redactor))
        if redacted != json.loads(content):
            written = (json.dumps(redacted, indent=1) + "\n").encode()
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        pass  # not a notebook: redact it as text
    written = redactor.data(written)
    if written == content:
        return source
    target.write_bytes(written)
    return target


def _streams_redacted(document: Any, redactor: Redactor) -> Any:
    """Redact values that were printed in pieces, in several outputs of one stream."""
    for cell in document["cells"]:
        outputs = [output for output in cell.get("outputs", ()) if output["output_type"] == "stream"]
        for name in {output["name"] for output in outputs}:
            same = [output for output in outputs if output["name"] == name]
            texts = [_joined(output["text"]) for output in same]
            for output, before, after in zip(same, texts, redactor.pieces(texts), strict=True):
                if after != before:
                    output["text"] = after
    return document


def _joined(text: Any) -> str:
    return text if isinstance(text, str) else "".join(text)


def page(path: Path, redactor: Redactor) -> None:
    """Redact a text file in its place."""
    content = path.read_bytes()
    written = redactor.data(content)
    if written != content:
        path.write_bytes(written)


def outputs_to_upload(
    found: list[Output], folder: Path, redactor: Redactor
) -> tuple[list[Output], list[Skipped]]:
    """Return the outputs to upload, and those withheld because their content or name has a value.

    Text files with values are redacted in `folder`.
    """
    kept: list[Output] = []
    withheld: list[Skipped] = []
    folder.mkdir(exist_ok=True)
    for number, item in enumerate(found):
        path: Path | None = item.path
        where = "its name"
        secret = redactor.find(item.name.encode())
        if not secret:
            path, where = _text_redacted(item.path, folder / f"output-{number}", redactor), "it"
            secret = "" if path else _found(item.path, redactor)
        if secret:
            why = f"{where} holds the value of secret {secret}"
            withheld.append(Skipped(redactor.text(item.name), why))
        else:
            kept.append(Output(item.name, path or item.path))
    return kept, withheld


def _text_redacted(path: Path, target: Path, redactor: Redactor) -> Path | None:
    """Return the path of a text file without values; None for a file that is not text."""
    if not _is_text(path):
        return None
    if not redactor.find_in(_chunks(path)):
        return path
    stream = Stream(redactor)
    with target.open("wb") as file:
        for chunk in _chunks(path):
            file.write(stream.feed(chunk))
        file.write(stream.end())
    return target


def _found(path: Path, redactor: Redactor) -> str:
    return redactor.find_in(_chunks(path)) or _find_unpacked(path, redactor)


def find_staged(tree: Path, paths: Iterable[Path], redactor: Redactor) -> tuple[str, str]:
    """Return the first file below `tree` with a value in its name or content, and the secret's name; else "", ""."""
    for path in paths:
        if not path.is_file():
            continue  # staged outputs/ are deleted, and a set-up script can delete any file
        name = path.relative_to(tree).as_posix()
        secret = redactor.find(name.encode("utf-8", "surrogateescape")) or redactor.find_in(_chunks(path))
        if secret:
            return redactor.text(name), secret
    return "", ""


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _is_text(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(path):
            if b"\0" in chunk:
                return False
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _find_unpacked(path: Path, redactor: Redactor) -> str:
    """Return the secret whose value is in an archive, as far as it can be read; else ""."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _find_members(archive, redactor)
        with path.open("rb") as file:
            head = file.read(8)
        for magic, opener in _COMPRESSED.items():
            if head.startswith(magic):
                with opener(path) as unpacked:
                    return redactor.find_in(_limited(unpacked, _Budget()))
    except _BROKEN:
        pass
    return ""


def _find_members(archive: zipfile.ZipFile, redactor: Redactor) -> str:
    budget = _Budget()
    for name in archive.namelist():
        with suppress(*_BROKEN), archive.open(name) as member:
            if found := redactor.find_in(_limited(member, budget)):
                return found
        if not budget.left:
            break
    return ""


@dataclass
class _Budget:
    """The bytes that may still be unpacked of one file."""

    left: int = MAX_UNPACKED


def _limited(file: IO[bytes], budget: _Budget) -> Iterator[bytes]:
    while budget.left and (chunk := file.read(min(budget.left, CHUNK_BYTES))):
        budget.left -= len(chunk)
        yield chunk
