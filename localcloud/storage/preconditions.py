"""The if…Match conditions of a request, and when they hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.errors import invalid
from localcloud.service import Json
from localcloud.storage.refusals import NotModified, condition_not_met

# What an object that does not exist counts as. No live object has these.
_ABSENT = 0


@dataclass(frozen=True)
class Conditions:
    """What must hold of an object's present state for a request to be carried out; None is "no condition"."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    @classmethod
    def of(cls, params: Mapping[str, str], prefix: str = "if") -> Conditions:
        """Read them from query parameters; `prefix` is "ifSource" for the source of a copy."""
        return cls(
            *(
                whole_number(params, prefix + name)
                for name in (
                    "GenerationMatch",
                    "GenerationNotMatch",
                    "MetagenerationMatch",
                    "MetagenerationNotMatch",
                )
            )
        )

    def check_write(self, current: Json | None) -> None:
        """Raise a 412 unless all hold. An absent object has generation 0, as Google documents."""
        if not self._matches(current) or not self._differs(current):
            raise condition_not_met()

    def check_read(self, current: Json) -> None:
        """Raise a 412 where the version is not the wanted one, `NotModified` where it is the unwanted one."""
        if not self._matches(current):
            raise condition_not_met()
        if not self._differs(current):
            raise NotModified

    def _matches(self, current: Json | None) -> bool:
        generation, metageneration = _versions(current)
        return self.generation_match in {None, generation} and self.metageneration_match in {
            None,
            metageneration,
        }

    def _differs(self, current: Json | None) -> bool:
        generation, metageneration = _versions(current)
        return self.generation_not_match != generation and self.metageneration_not_match != metageneration


def whole_number(params: Mapping[str, object], name: str) -> int | None:
    """Return an int64 parameter or field, None where it is not given; raises Google's 400."""
    if params.get(name) is None:
        return None
    text = str(params[name])
    if not text.isascii() or not text.isdigit():
        raise invalid(f"Invalid value for {name}: '{text}'. It must be a whole number.", "invalidParameter")
    return int(text)


def _versions(current: Json | None) -> tuple[int, int]:
    if current is None:
        return _ABSENT, _ABSENT
    return int(current["generation"]), int(current["metageneration"])
