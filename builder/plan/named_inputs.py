"""Keeps a job's inputs by name, and says which of them differ from those of another run. Pure.

The hash of the inputs only says that something differs. No verdict and no proof depends on the names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from builder.plan.build_plan import JobPlan
from builder.plan.inputs import described_inputs
from builder.plan.packing import Archive

_MAX_NAMED = 1000  # files, and other inputs, that are kept by name
_SHOWN = 6  # inputs that a text names
_DIGITS = 16  # of a hash: it only says that two values differ
_OPTIONS = {
    "kernel": "NB_KERNEL",
    "setup": "NB_SETUP",
    "expect": "NB_EXPECT",
    "fail_on": "NB_FAIL_ON",
    "schema": "the version of Notebook Builder",
    "kit": "the version of the runner kit",
    ("image", "project"): "NB_IMAGE_PROJECT",
    ("image", "family"): "NB_IMAGE_FAMILY",
    ("image", "name"): "NB_IMAGE",
    ("vm", "service_account"): "NB_VM_SERVICE_ACCOUNT",
}


@dataclass(frozen=True)
class NamedInputs:
    """The inputs of a job, by name: short hashes of its files, and of everything else.

    `code` is the hash of the notebook without its Markdown cells. `files` is empty if there are too many.
    """

    notebook: str = ""
    code: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> Mapping[str, Any]:
        """Return the inputs as a JSON object."""
        return {**asdict(self), "files": dict(self.files), "others": dict(self.others)}


def decode_named_inputs(found: Any) -> NamedInputs | None:
    """Return the inputs in this JSON value; None if it is something else."""
    try:
        files, others = ({str(key): str(value) for key, value in found[name].items()} for name in _MAPPINGS)
        return NamedInputs(str(found["notebook"]), str(found["code"]), files, others)
    except (KeyError, TypeError, AttributeError):
        return None


_MAPPINGS = ("files", "others")


def named_inputs(job: JobPlan, workspace: Archive, kit_sha256: str) -> NamedInputs:
    """Return the inputs of a job, by name. Values are only hashed, so that no value of a variable is stored."""
    files = {path: digest[:_DIGITS] for path, digest in workspace.files.items()}
    others = dict(sorted(_others({**described_inputs(job), "kit": kit_sha256})))
    return NamedInputs(
        notebook=job.notebook.path,
        code=job.notebook.code_sha256[:_DIGITS],
        files=files if len(files) <= _MAX_NAMED else {},
        others=others if len(others) <= _MAX_NAMED else {},
    )


def differences(now: NamedInputs, before: NamedInputs) -> str:
    """Return the inputs that differ, in words; "" if none is known."""
    names = [*_changed_files(now, before), *_changed(now.others, before.others)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _changed_files(now: NamedInputs, before: NamedInputs) -> Iterator[str]:
    if not now.files or not before.files:
        return
    for name in _changed(now.files, before.files):
        text_only = name == now.notebook and now.code == before.code
        yield f"{name} (only Markdown cells)" if text_only else name


def _changed(now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(now.keys() | before.keys()):
        if name not in before:
            yield f"{name} (new)"
        elif name not in now:
            yield f"{name} (removed)"
        elif now[name] != before[name]:
            yield name


def _others(described: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and hash of each input that is no file."""
    for key, value in described.items():
        match key:
            case "notebook":
                continue
            case "parameters":
                yield from ((f"parameter {name}", _hash(item)) for name, item in value.items())
            case "env" | "secrets":
                yield from ((f"NB_{key.upper()} {name}", _hash(item)) for name, item in value.items())
            case "requirements":
                known = dict(value or {})
                yield "NB_INDEX_URL", _hash(known.pop("index_url", None))
                yield "NB_REQUIREMENTS", _hash(known)
            case "image" | "vm":
                for name, item in value.items():
                    yield _OPTIONS.get((key, name), f"NB_{name.upper()}"), _hash(item)
            case _:
                yield _OPTIONS.get(key, key), _hash(value)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_DIGITS]
