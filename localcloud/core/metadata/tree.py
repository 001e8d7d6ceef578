"""The values of a metadata server, as a tree of paths, and the form of one node. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.core.iam import PROJECT_NUMBER

Json = dict[str, Any]

# The names whose children are the user's own, never translated between the path form and JSON.
_FREE_KEYS = frozenset({"attributes", "service-accounts"})


@dataclass(frozen=True)
class Identity:
    """The asking process: a VM, or (instance None) a process that is no VM.

    `instance` has name, id, zone, machineType, hostname and preempted ("FALSE" or "TRUE"); `email` None means that no
    service account is attached.
    """

    project: str
    email: str | None
    scopes: tuple[str, ...]
    instance: Json | None
    attributes: Mapping[str, str]
    path: str = ""
    """The instance's resource path; "" for a process that is no VM."""


@dataclass(frozen=True)
class Page:
    """One answer: text, and whether it is JSON."""

    text: str
    json: bool


def tree(identity: Identity) -> Json:
    """Return everything but tokens, by path segment."""
    return {
        "instance": _instance(identity),
        "project": {
            "attributes": {},
            "numeric-project-id": int(PROJECT_NUMBER),
            "project-id": identity.project,
        },
        "universe": {"universe-domain": "googleapis.com"},
    }


def _instance(identity: Identity) -> Json:
    accounts: Json = {}
    if identity.email is not None:
        account = {"aliases": ["default"], "email": identity.email, "scopes": list(identity.scopes)}
        accounts = {"default": account, identity.email: account}
    node: Json = {"attributes": dict(identity.attributes), "service-accounts": accounts}
    known = identity.instance or {}
    if "id" in known:
        node["id"] = int(known["id"])
    for key, collection in (("zone", "zones"), ("machineType", "machineTypes")):
        if key in known:
            short = str(known[key]).rpartition("/")[2]
            node[_path_form(key)] = f"projects/{PROJECT_NUMBER}/{collection}/{short}"
    for key in ("name", "hostname", "preempted"):
        if key in known:
            node[key] = str(known[key])
    return node


def find(root: Json, path: str) -> Any:
    """Return the node at a path ("instance/zone"); raises KeyError when there is none."""
    node: Any = root
    for segment in filter(None, path.split("/")):
        if not isinstance(node, dict):
            raise KeyError(path)
        node = node[segment]
    return node


def page(node: Any, *, path: str, recursive: bool, as_json: bool) -> Page:
    """Print a node: a value, a directory's listing, or with `recursive` everything below it as JSON."""
    if isinstance(node, dict) and not recursive:
        lines = (f"{key}/" if isinstance(child, dict) else key for key, child in sorted(node.items()))
        return Page("".join(f"{line}\n" for line in lines), json=False)
    if isinstance(node, dict) or as_json:
        segments = [segment for segment in path.split("/") if segment]
        free = bool(segments) and segments[-1] in _FREE_KEYS
        return Page(json.dumps(_json_form(node, free=free)), json=True)
    if isinstance(node, list):
        return Page("".join(f"{item}\n" for item in node), json=False)
    return Page(str(node), json=False)


def _json_form(node: Any, *, free: bool) -> Any:
    """Translate path names ("machine-type") to JSON ones ("machineType")."""
    if not isinstance(node, dict):
        return node
    return {
        key if free else _camel(key): _json_form(child, free=key in _FREE_KEYS) for key, child in node.items()
    }


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(part.capitalize() for part in rest)


def _path_form(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
