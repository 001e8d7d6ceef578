"""All options, collected from the dataclasses that declare them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Literal

from builder.options.job_options import JobOptions
from builder.options.option import GROUPS, Option
from builder.options.run_options import Comment, Deployment, RunOptions, SourceOptions


def _declared(declaration: type, scope: Literal["run", "job"]) -> Iterator[Option]:
    for field in fields(declaration):
        yield Option(name=field.name, scope=scope, **field.metadata)


# By group; within a group, in the order of the declarations.
OPTIONS: tuple[Option, ...] = tuple(
    sorted(
        [
            *_declared(SourceOptions, "run"),
            *_declared(JobOptions, "job"),
            *_declared(RunOptions, "run"),
            *_declared(Deployment, "run"),
            *_declared(Comment, "run"),
        ],
        key=lambda option: GROUPS.index(option.group),
    )
)
BY_NAME = {option.name: option for option in OPTIONS}
BY_ENV = {option.env: option for option in OPTIONS}
