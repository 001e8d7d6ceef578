"""An option, and the dataclass field that declares it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from builder.options.commands import COMMENT_READS, PLANNING
from builder.options.values import BOOLEAN, ValueType

T = TypeVar("T")

RUNS = "What runs"
MACHINE = "The virtual machine"
LIMITS = "Limits and retries"
RESULTS = "Results"
SCHEDULED = "Scheduled runs"
DEPLOYMENT = "Deployment"
COMMENT = "Comment on a pull request"
GROUPS = (RUNS, MACHINE, LIMITS, RESULTS, SCHEDULED, DEPLOYMENT, COMMENT)


class _Missing:
    """The default of an option that has no fixed one."""


MISSING = _Missing()


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option. `name` is its key in notebooks.yaml; `default` is a value of its type, or MISSING."""

    name: str
    scope: Literal["run", "job"]
    group: str
    help: str
    example: str
    type: ValueType[Any]
    default: Any = MISSING
    default_shown: str = ""
    required: bool = False
    in_file: bool = True

    @property
    def env(self) -> str:
        """The environment variable."""
        return "NB_" + self.name.upper()

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def switch(self) -> bool:
        """True if the bare flag means true."""
        return self.type.schema == BOOLEAN

    @property
    def shown(self) -> str:
        """The default in words."""
        if self.default_shown:
            return self.default_shown
        if isinstance(self.default, bool | int):
            return str(self.default).lower()
        return f"`{self.default}`" if isinstance(self.default, str) else "none"

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that read it."""
        if self.group == DEPLOYMENT:
            return ("deploy",)
        if self.group == COMMENT:
            return ("comment",)
        return (*PLANNING, "comment") if self.name in COMMENT_READS else PLANNING


def option(
    group: str,
    text: str,
    example: str,
    value_type: ValueType[T],
    *,
    default: T | _Missing = MISSING,
    shown: str = "",
    required: bool = False,
    in_file: bool = True,
) -> T:
    """Declare an option as a dataclass field. The name of the field is the name of the option.

    An option without `default` is required, or takes its value from other options; `shown` says which.
    """
    metadata = {
        "group": group,
        "help": text,
        "example": example,
        "type": value_type,
        "default": default,
        "default_shown": shown,
        "required": required,
        "in_file": in_file,
    }
    if isinstance(default, _Missing):
        missing: T = field(metadata=metadata)
        return missing
    value = default
    return field(default_factory=lambda: value, metadata=metadata)
