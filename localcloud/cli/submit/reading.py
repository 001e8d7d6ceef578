"""Reads a build file, YAML or JSON, into plain values, and remembers the line of each of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

Json = dict[str, Any]
Path = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_KEYWORD = f"{_TAG}value"  # what YAML 1.1 calls a bare "="
_SCALARS = frozenset(f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "timestamp"))
# A build has at most 300 steps of 100 arguments; aliases of aliases make more out of a few lines.
_MAX_VALUES = 100_000


@dataclass(frozen=True)
class BuildFile:
    """The build in a file: `name` is the file's name in messages, `lines` has the line of each path (from 1)."""

    name: str
    build: Json
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of a path, or of the nearest thing around it that the file has."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


class UnreadableError(Exception):
    """The file is no readable YAML; `line` is the place, str() the fault."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def read(name: str, data: bytes) -> BuildFile:
    """Return the build in the bytes of a file; raises `UnreadableError`."""
    text = _decode(data)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise UnreadableError(1, "the file is empty; a build needs at least steps")
        reader = _Reader()
        build = reader.value(root, ())
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableError(
            line, f"the character U+{error.character:04X} is not allowed in YAML"
        ) from error
    except RecursionError as error:
        raise UnreadableError(1, "lists and mappings are nested too deeply") from error
    if not isinstance(build, dict):
        raise UnreadableError(_line(root), "the file must be a mapping, with steps: and so on")
    return BuildFile(name, build, reader.lines)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError(line, "the file is not UTF-8; save it in that encoding") from error


def _unreadable(error: yaml.MarkedYAMLError) -> UnreadableError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = error.problem or "no YAML"
    if "'\\t'" in problem:
        return UnreadableError(line, "YAML does not allow a tab here; indent with spaces")
    if "another document" in problem:
        return UnreadableError(line, "a second document begins here; a build file has one, without --- in it")
    if "undefined alias" in problem:
        return UnreadableError(line, f"{problem}; an anchor (&name) must come before its alias (*name)")
    context = f"{error.context}: " if error.context else ""
    return UnreadableError(line, f"not YAML: {context}{problem}")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


@dataclass
class _Reader:
    """Turns nodes into values, and adds the line of each to `lines`."""

    lines: dict[Path, int] = field(default_factory=dict)
    _count: int = 0
    _open: set[int] = field(default_factory=set)  # the nodes around the one that is being read
    _scalars: yaml.constructor.SafeConstructor = field(default_factory=yaml.constructor.SafeConstructor)

    def value(self, node: yaml.Node, path: Path, line: int | None = None) -> Any:
        """Return the value of a node; `line` overrides the line at which it begins."""
        self.lines[path] = line or _line(node)
        self._count += 1
        if self._count > _MAX_VALUES:
            raise UnreadableError(
                self.lines[path], f"the aliases here stand for more than {_MAX_VALUES:,} values"
            )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node.tag not in {f"{_TAG}map", f"{_TAG}seq"}:
            raise _bad_tag(node)
        if id(node) in self._open:
            raise UnreadableError(_line(node), "the anchor here contains its own alias")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag == _KEYWORD:
            return node.value
        if node.tag not in _SCALARS:
            raise _bad_tag(node)
        try:
            return self._scalars.construct_object(node)
        except (ValueError, KeyError, AttributeError) as error:
            raise UnreadableError(
                _line(node), f"{node.value!r} is no value that YAML knows: {error}"
            ) from error

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Json:
        pairs = self._pairs(node)
        return {key: self.value(item, (*path, key), line) for key, (item, line) in pairs.items()}

    def _pairs(self, node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, int]]:
        """Return the node and the line of each key; keys merged in (`<<`) come first and give way to its own."""
        own: dict[str, tuple[yaml.Node, int]] = {}
        merged: dict[str, tuple[yaml.Node, int]] = {}
        for key_node, item in node.value:
            if key_node.tag == _MERGE:
                for source in self._merged(item):
                    merged = {**self._pairs(source), **merged}
                continue
            key = self._key(key_node)
            if key in own:
                words = f"the key {key!r} is twice in this mapping, first in line {own[key][1]}"
                raise UnreadableError(_line(key_node), words)
            own[key] = (item, _line(key_node))
        return {**{key: value for key, value in merged.items() if key not in own}, **own}

    def _merged(self, node: yaml.Node) -> Iterator[yaml.MappingNode]:
        sources: Sequence[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise UnreadableError(_line(node), "<< takes a mapping, or a list of mappings, such as *name")
            self._count += 1
            if self._count > _MAX_VALUES or id(source) in self._open:
                raise UnreadableError(_line(node), "what << merges here contains itself, or too much")
            yield source

    def _key(self, node: yaml.Node) -> str:
        key = self._scalar(node) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            shown = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            raise UnreadableError(
                _line(node), f"{shown} cannot be a key; a key is text, in quotes if need be"
            )
        return key


def _bad_tag(node: yaml.Node) -> UnreadableError:
    tag = node.tag.replace(_TAG, "!!")
    return UnreadableError(_line(node), f"the tag {tag} has no meaning in a build file; leave it out")
