"""The order of steps, and the rules of `waitFor`. Pure.

A step without `waitFor` waits for every step before it, "-" waits for nothing, and an id for that step. Google accepts
only ids of steps defined earlier, so there is no way to write a cycle that it accepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from localcloud.services.cloudbuild.names import START
from localcloud.services.cloudbuild.problem import Json, Problem, step_name, text, texts


def ready(steps: Sequence[Json], done: AbstractSet[int], started: AbstractSet[int]) -> list[int]:
    """Return the indexes of the steps that may start now, in order.

    `done` has the steps after which others may start, `started` those that must not start again.
    """
    indexes = {id_: index for index, step in enumerate(steps) if (id_ := text(step, "id"))}
    return [
        index
        for index, step in enumerate(steps)
        if index not in started | done and _dependencies(index, step, indexes) <= done
    ]


def _dependencies(index: int, step: Json, indexes: dict[str, int]) -> AbstractSet[int]:
    named = [id_ for _, id_ in texts(step, "waitFor")]
    if not named:
        return set(range(index))
    return {indexes[id_] for id_ in named if id_ != START}


def order_problems(steps: Sequence[Json]) -> list[Problem]:
    """Return the faults of ids and `waitFor`: reserved or doubled ids, and ids that are not defined yet."""
    found: list[Problem] = []
    known: dict[str, int] = {}
    all_ids = [text(step, "id") for step in steps]
    for index, step in enumerate(steps):
        for number, wanted in texts(step, "waitFor"):
            if wanted != START and wanted not in known:
                found.append(
                    Problem(("steps", index, "waitFor", number), _undefined(index, step, wanted, all_ids))
                )
        id_ = text(step, "id")
        if id_ == START:
            reason = f'the ID cannot be "{START}" which is reserved as a dependency for build steps that should run first'
            found.append(
                Problem(("steps", index, "id"), f"invalid .steps field: {step_name(index, step)}: {reason}")
            )
        elif id_ in known:
            reason = f"the ID is not unique; step #{known[id_]} has it too"
            found.append(
                Problem(("steps", index, "id"), f"invalid .steps field: {step_name(index, step)}: {reason}")
            )
        elif id_:
            known[id_] = index
    return found


def _undefined(index: int, step: Json, wanted: str, ids: Sequence[str]) -> str:
    if wanted == ids[index]:
        why = "it is this step itself"
    elif wanted in ids:
        why = f"step #{ids.index(wanted)} is defined later, and a step can only wait for earlier ones"
    else:
        earlier = ", ".join(f'"{id_}"' for id_ in ids[:index] if id_) or "none"
        why = f'no step has this ID; earlier IDs: {earlier}, or "{START}" to start at once'
    return f'invalid .steps field: {step_name(index, step)} depends on "{wanted}", which has not been defined: {why}'
