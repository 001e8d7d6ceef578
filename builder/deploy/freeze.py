"""Options as they were resolved, written as a notebooks.yaml that reads back as the same ones. Pure.

JSON, which our YAML reader takes: text that looks like a number, a date or a word of YAML stays text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from builder.model import Accelerator, Expectation, JsonObject
from builder.options import JobOptions, Options
from builder.plan.preparation import Preparation

_IMAGE = re.compile(r"projects/(?P<project>[^/]+)/global/images/(?P<name>[^/]+)")
_NONE = "none"


def entry_of(path: str, options: JobOptions, *, image: str, preparation: Preparation) -> JsonObject:
    """One entry under `notebooks:`, which reads back as these options but for what follows.

    The exact `image` (a path, projects/P/global/images/NAME) stands in the place of the family; the parameters are those of the
    parameters file, too; set-up and requirements count from the repository's root, as `path` does. There is no `include`: the manifest
    lists the files. Raises ValueError for an image's path of another form.
    """
    meant = frozen(options, image=image, preparation=preparation)
    written = {name: write(getattr(meant, name)) for name, write in _WRITTEN.items()}
    entry = {name: value for name, value in written.items() if value is not None}
    return {"path": _path(path), **entry}


def frozen(options: JobOptions, *, image: str, preparation: Preparation) -> JobOptions:
    """The options that `entry_of` writes: what a scheduled run of the archive has for the same notebook."""
    exact = _IMAGE.search(image)
    if exact is None:
        raise ValueError(f"{image!r} is no image's path")
    return replace(
        options,
        image_family=None,
        image=exact["name"],
        image_project=exact["project"],
        setup=preparation.setup,
        requirements=None if preparation.requirements is None else preparation.requirements.path,
        parameters_file=None,
        include=None,
    )


def notebooks_json(options: Options, entries: Sequence[JsonObject]) -> str:
    """The whole document: what a scheduled run needs of the run's own options, then the entries."""
    document = {
        "concurrency": options.concurrency,
        "fail_fast": options.fail_fast,
        "time_zone": options.time_zone,
        "alert_topic": _or_none(options.alert_topic),
        "notebooks": list(entries),
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
    # YAML takes some characters for line ends and some for none at all, but neither as an escape; and it reads the two escapes that
    # JSON has for one character beyond U+FFFF as two. So the latter stand as they are, and only they.
    return re.sub("[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _same(value: Any) -> Any:
    """As it is. None: the option is left out, which means the same."""
    return value


def _or_none(value: Any) -> Any:
    """Of an option that takes the word `none`."""
    return _NONE if value is None else value


def _path(path: str) -> str:
    """A path that is read as it is: neither as the word for none, nor without a space at its begin."""
    return f"./{path}" if path != path.strip() or path.lower() == _NONE else path


def _optional_path(path: str | None) -> str:
    return _NONE if path is None else _path(path)


def _mapping(value: Mapping[str, Any]) -> JsonObject:
    return dict(value)


def _expectations(value: Sequence[Expectation]) -> list[str] | None:
    """`glob>=SIZE`; an empty list is none that can be given."""
    written = [_path(one.glob) + (f">={one.minimum_bytes}" * (one.minimum_bytes != 1)) for one in value]
    return written or None


def _accelerator(value: Accelerator | None) -> str:
    return _NONE if value is None else f"{value.type}:{value.count}"


# How each option is written. Those that are not here stand in others: family in image, the parameters' file in parameters, and
# include in the manifest.
_WRITTEN: Mapping[str, Callable[[Any], Any]] = {
    "parameters": _mapping,
    "allow_secret_parameters": _same,
    "schedule_parameters": _mapping,
    "env": _mapping,
    "secrets": _mapping,
    "expect": _expectations,
    "setup": _optional_path,
    "requirements": _optional_path,
    "index_url": _or_none,
    "kernel": _same,
    "zones": list,
    "machine_type": _same,
    "accelerator": _accelerator,
    "image": _same,
    "image_project": _same,
    "boot_disk_gb": _same,
    "boot_disk_type": _same,
    "secure_boot": _same,
    "network": _same,
    "subnetwork": _same,
    "external_ip": _same,
    "vm_service_account": _same,
    "labels": _mapping,
    "provisioning": _same,
    "timeout": _same,
    "cell_timeout": _or_none,
    "boot_timeout": _same,
    "setup_timeout": _same,
    "requirements_timeout": _same,
    "max_attempts": _same,
}
