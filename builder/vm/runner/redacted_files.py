"""Redacts what is uploaded: the executed notebook, its pages, text files. Finds values in all other files, archives included."""

from __future__ import annotations

import bz2
import codecs
import gzip
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from .outputs import Output, Skipped
from .redaction import Redactor, Stream

CHUNK_BYTES = 1 << 20
# More of what an archive unpacks to is not looked at.
MAX_UNPACKED = 512 * CHUNK_BYTES
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
    """Return where the executed notebook without any values lies: a valid one, wherever the source is; or the source itself."""
    content = source.read_bytes()
    written = content
    try:
        document = json.loads(content)
        redacted = redactor.json(_streams_redacted(document, redactor))
        if redacted != json.loads(content):
            written = (json.dumps(redacted, indent=1) + "\n").encode()
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        pass  # no notebook: then it is text like any other
    written = redactor.data(written)
    if written == content:
        return source
    target.write_bytes(written)
    return target


def _streams_redacted(document: Any, redactor: Redactor) -> Any:
    """A value printed in pieces stands in several outputs of one stream."""
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
    """Return what of the notebook's outputs may be uploaded, and what not, because a value is in it or in its name.

    Text files with values in them are written anew to `folder`.
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
    """Return where a text file without values lies; None for any other file."""
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
    """Return the first of these files below `tree` whose name or content holds a value, and the secret's name; or nothing."""
    for path in paths:
        if not path.is_file():
            continue  # outputs/ that were staged are gone, and a set-up script may do as it likes
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
    """Look into an archive, as far as it can be read."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return next(
                    filter(None, (_find_member(archive, name, redactor) for name in archive.namelist())), ""
                )
        with path.open("rb") as file:
            head = file.read(8)
        for magic, opener in _COMPRESSED.items():
            if head.startswith(magic):
                with opener(path) as unpacked:
                    return redactor.find_in(_limited(unpacked))
    except _BROKEN:
        pass
    return ""


def _find_member(archive: zipfile.ZipFile, name: str, redactor: Redactor) -> str:
    try:
        with archive.open(name) as member:
            return redactor.find_in(_limited(member))
    except _BROKEN:
        return ""


def _limited(file: IO[bytes]) -> Iterator[bytes]:
    taken = 0
    while taken < MAX_UNPACKED and (chunk := file.read(CHUNK_BYTES)):
        taken += len(chunk)
        yield chunk
