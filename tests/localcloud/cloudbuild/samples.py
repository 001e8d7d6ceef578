"""Small builds for tests."""

from __future__ import annotations

from typing import Any

from localcloud.services.cloudbuild.problem import Path

Json = dict[str, Any]
Case = tuple[Json, Path, str]
"""A broken build, where it is broken, and words of the message."""


def step_build(**fields: Any) -> Json:
    """Return a build of one step with these fields."""
    return {"steps": [{"name": "ubuntu"} | fields]}


def steps_build(*steps: Json) -> Json:
    """Return a build of these steps, each with an image."""
    return {"steps": [{"name": "ubuntu"} | step for step in steps]}


def build_with(**fields: Any) -> Json:
    """Return a build of one good step with these fields beside it."""
    return step_build() | fields
