"""Exports options as a notebooks.yaml that reads back as the same options. Pure.

The document is JSON, which the YAML reader takes: text that looks like a number, a date or a word of YAML stays text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from builder.model import JsonObject
from builder.options import JobOptions, Options
from builder.options.paths import write_path
from builder.options.table import BY_NAME, OPTIONS
from builder.plan.preparation import Preparation

_IMAGE = re.compile(r"projects/(?P<project>[^/]+)/global/images/(?P<name>[^/]+)")
_OF_THE_RUN = (
    "concurrency",
    "fail_fast",
    "time_zone",
    "alert_topic",
)  # what a scheduled run needs of the run's options


def entry_of(path: str, exported: JobOptions) -> JsonObject:
    """Return an entry under `notebooks:` that reads back as these options."""
    written = {
        option.name: option.type.write(getattr(exported, option.name))
        for option in OPTIONS
        if option.scope == "job"
    }
    return {"path": write_path(path), **{name: value for name, value in written.items() if value is not None}}


def exported_options(options: JobOptions, *, image: str, preparation: Preparation) -> JobOptions:
    """Return the options that a scheduled run has for a notebook with these options.

    The exact `image` (projects/P/global/images/NAME) replaces the family. `parameters` has those of the file, too.
    Set-up, requirements and certificates count from the repository's root. The archive's manifest replaces `include`.
    Raises ValueError for another form of image.
    """
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
        ca_bundle=preparation.ca_bundle,
        parameters_file=None,
        include=None,
    )


def notebooks_json(options: Options, entries: Sequence[JsonObject]) -> str:
    """Return the whole document: options of the run, then the entries."""
    of_the_run = {name: BY_NAME[name].type.write(getattr(options, name)) for name in _OF_THE_RUN}
    text = json.dumps(
        {**of_the_run, "notebooks": list(entries)}, ensure_ascii=False, allow_nan=False, indent=1
    )
    # YAML takes some characters for line ends and refuses others, unless they are escaped. It reads JSON's pair of
    # escapes for one character beyond U+FFFF as two characters, so those characters stay as they are.
    return re.sub("[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"
