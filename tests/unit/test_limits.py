"""Tests the limits that must fit together although each is in another module."""

from __future__ import annotations

from builder.act.fleet import ABANDON_BUDGET
from builder.act.lease import LEASE_SECONDS
from builder.act.watch import SILENCE
from builder.commands.run import GRACE
from builder.waiting import CHECK_SECONDS


def test_the_builder_gives_a_vm_up_before_the_vm_gives_the_builder_up() -> None:
    assert SILENCE < LEASE_SECONDS


def test_the_waits_after_a_signal_are_shorter_than_the_promised_end() -> None:
    assert CHECK_SECONDS < 2, "the deletes are sent after this wait"
    assert CHECK_SECONDS + ABANDON_BUDGET + GRACE < 8, "then the process ends"
