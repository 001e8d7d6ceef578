"""One way to call Google.

A call ends as an answer or as CallFailed, and is repeated as its row in call_table.py says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from builder.gcp.call_table import row
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, OUTAGE_BUDGET, OUTAGE_TIMEOUT
from builder.gcp.failures import google_call
from builder.ports import CallFailed, Clock
from builder.waiting import retry_transient

T = TypeVar("T")


@dataclass
class Calls:
    """Makes the calls of one client.

    `budget`: the most seconds for one call with all its repetitions. It can only shorten the budget of the call's row.
    `longest`: the seconds that a try waits for the next bytes of an answer.

    After a call that used its budget up, each further one has less of both, until one is answered: a run has dozens of
    calls, and an outage must not hold each of them for minutes.
    """

    clock: Clock
    budget: float = CALL_BUDGET
    longest: float = CALL_TIMEOUT
    in_outage: bool = field(default=False, init=False)  # the last call used its budget up

    @property
    def timeout(self) -> float:
        """The seconds that the next try waits for the next bytes of its answer."""
        return self.longest * OUTAGE_TIMEOUT / CALL_TIMEOUT if self.in_outage else self.longest

    def make(self, call: str, resource: str, action: Callable[[], T]) -> T:
        """Return what `action` returns.

        `call` is the name of a row of call_table.py. Raises CallFailed, which names both.
        """

        def once() -> T:
            with google_call(call, resource):
                return action()

        budget = min(self.budget, row(call).budget, OUTAGE_BUDGET if self.in_outage else CALL_BUDGET)
        try:
            answer = retry_transient(once, budget=budget, clock=self.clock)
        except CallFailed as failure:
            self.in_outage = failure.transient
            raise
        self.in_outage = False
        return answer

    def unless(
        self, statuses: Collection[int], call: str, resource: str, action: Callable[[], T]
    ) -> T | None:
        """Like `make`, but returns None if Google answers with one of these HTTP statuses."""
        try:
            return self.make(call, resource, action)
        except CallFailed as failure:
            # A missing bucket is a 404 too, and says nothing about an object in it.
            if failure.http_status in statuses and "bucket does not exist" not in failure.message:
                return None
            raise

    def unless_missing(self, call: str, resource: str, action: Callable[[], T]) -> T | None:
        """Like `make`, but returns None if Google answers 404."""
        return self.unless({HTTPStatus.NOT_FOUND}, call, resource, action)

    def delete(self, call: str, resource: str, action: Callable[[], object]) -> bool:
        """Delete a resource.

        False if there was none; True also if an earlier try, whose reply was lost, may have deleted it.
        """
        try:
            self.make(call, resource, action)
        except CallFailed as failure:
            if failure.http_status != HTTPStatus.NOT_FOUND:
                raise
            return failure.repeated
        return True
