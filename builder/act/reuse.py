"""Finds the results of an earlier green run of the same inputs, so that a job is not run again (NB_REUSE_GREEN)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from builder.act.folder_claim import RESULT
from builder.act.proofs import NOT_PROVEN, Proof, Summaries, find_proof, green_job, proof_object, what_differs
from builder.act.publish import LOG
from builder.act.result import Outcome, Reused
from builder.errors import ExitCode
from builder.judge.cell_runs import cell_runs
from builder.judge.executed_notebook import MAX_EXECUTED_BYTES
from builder.model import GcsLocation, JsonObject, Listed, Verdict
from builder.plan.build_plan import JobPlan
from builder.plan.named_inputs import NamedInputs
from builder.ports import MAX_BYTES, ObjectStore
from builder.strict_json import readable

_HOURS_SHOWN = 48  # an older proof's age is told in days


class Reuse:
    """Looks for green results that are at most `seconds` old. Used from several threads.

    `now` returns the seconds since the epoch by Google's clock, and is asked once.
    """

    def __init__(
        self, store: ObjectStore, location: GcsLocation, seconds: int, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._location = location
        self._seconds = seconds
        self._now = now
        self._moment: float | None = None
        self._lock = threading.Lock()

    def find(self, job: JobPlan, inputs: str, named: NamedInputs) -> tuple[Outcome, str] | str:
        """Return what the newest green run of these inputs has published, and its log, or why there is nothing.

        Raises CallFailed.
        """
        proof = find_proof(self._store, self._location, inputs, summaries := Summaries(self._store))
        if not isinstance(proof, Proof):
            changed = "" if proof else what_differs(self._store, self._location, job.job, named)
            return proof or f"{NOT_PROVEN}{changed}"
        written = self._store.stat(proof_object(self._location, inputs))
        if written is None or not written.created:
            return "its proof was removed"
        age = self._ask_now() - datetime.fromisoformat(written.created).timestamp()
        if age > self._seconds:
            return f"the proof of run {proof.run} is {_words(age)} old"
        entry = green_job(summaries.read(proof) or {}, proof) or {}
        return self._results(job, proof, Reused(proof.run, written.created), entry)

    def _ask_now(self) -> float:
        with self._lock:
            if self._moment is None:
                self._moment = self._now()
            return self._moment

    def _results(
        self, job: JobPlan, proof: Proof, reused: Reused, entry: JsonObject
    ) -> tuple[Outcome, str] | str:
        """Return what the proven job has published, if every object is still as the run left it.

        The proof names the summary's generation, the summary's `entry` that of result.json, and this lists the others.
        So nobody who may only write results can change what is reused.
        """
        gone = f"the results of run {proof.run} are gone or were replaced"
        output = str(entry.get("output", ""))
        prefix = output.removeprefix(f"gs://{self._store.bucket}/")
        if not output or prefix == output:
            return gone
        found = {item.name.removeprefix(prefix): item for item in self._store.list(prefix)}
        if str(getattr(found.get(RESULT), "generation", "")) != entry.get("result_generation"):
            return gone
        result = readable(self._read(found.get(RESULT))) or {}
        listed = _objects(result)
        if (result.get("run"), result.get("verdict")) != (proof.run, "green") or not listed:
            return gone
        if any(_describe(found.get(name)) != facts for name, facts in listed.items()):
            return gone
        log = self._read(found.get(LOG)) or b""
        objects = {name: found[name] for name in listed if name != LOG}
        return self._outcome(job, reused, objects, result.get("evidence")), log.decode(errors="replace")

    def _outcome(self, job: JobPlan, reused: Reused, objects: Mapping[str, Listed], facts: object) -> Outcome:
        """Return the earlier results as an outcome of this job."""
        proven = reused.proven[:16].replace("T", " ")
        message = f"not run again: run {reused.run} was green for the same inputs, {proven} UTC"
        executed = self._read(objects.get(f"{job.name}.ipynb"), max_bytes=MAX_EXECUTED_BYTES)
        return Outcome(
            verdict=Verdict(ExitCode.GREEN, "green", message),
            objects=tuple(objects.values()),
            names=tuple(objects),
            facts=facts if isinstance(facts, dict) else None,
            cells=cell_runs(job.notebook, job.parameters, executed),
            reused=reused,
        )

    def _read(self, item: Listed | None, *, max_bytes: int = MAX_BYTES) -> bytes | None:
        return (
            None
            if item is None
            else self._store.read(item.name, generation=item.generation, max_bytes=max_bytes)
        )


def _objects(result: JsonObject) -> Mapping[str, tuple[Any, ...]]:
    """Return size, checksum and generation of each object that a result.json lists, by its name."""
    listed = result.get("objects")
    return {
        str(item.get("name")): (item.get("size"), item.get("crc32c"), item.get("generation"))
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    }


def _describe(item: Listed | None) -> tuple[Any, ...] | None:
    return None if item is None else (item.size, item.crc32c, str(item.generation))


def _words(age: float) -> str:
    hours = round(age / 3600)
    return f"{hours // 24} days" if hours > _HOURS_SHOWN else f"{hours} h"
