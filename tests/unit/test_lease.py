"""Tests how long builder and VM wait for a sign of life from each other."""

from __future__ import annotations

from builder.act.lease import LEASE_SECONDS
from builder.act.watch import SILENCE


def test_the_builder_gives_a_vm_up_before_the_vm_gives_the_builder_up() -> None:
    assert SILENCE < LEASE_SECONDS
