"""The options of one command, as `load_options` returns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.options.environment import Build
from builder.options.job_options import JobOptions
from builder.options.run_options import Comment, Deployment, RunOptions

if TYPE_CHECKING:
    from builder.options.day import DayRange


@dataclass(frozen=True)
class NotebookEntry:
    """A path or glob to run, with its options. `origin` names the setting or file entry that asks for it."""

    pattern: str
    origin: str
    options: JobOptions


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of one command. `reap` and `options` have no bucket and no notebook.

    `by_path` has the options of each entry in notebooks.yaml; `config` is None unless a file was asked for.
    """

    command: str
    format: str
    # What `deploy` does instead of putting something live, or what `check` and `plan` do besides; "" for neither.
    # A range of days is that of `deploy --backfill`.
    action: str | DayRange
    project: str | None
    build: Build
    endpoints: Mapping[str, str]
    notebooks: tuple[NotebookEntry, ...]
    by_path: Mapping[str, JobOptions]
    config: str | None
    deployment: Deployment | None  # for `deploy` alone
    comment: Comment | None  # for `comment` alone
    warnings: tuple[str, ...]

    def options_for(self, path: str, entry: NotebookEntry) -> JobOptions:
        """Return a notebook's options: those of its own entry in the file, else those of the entry that found it."""
        return self.by_path.get(path, entry.options)
