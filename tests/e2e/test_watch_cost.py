"""Tests the cost of watching: a bounded number of calls per second and job, for each kind of notebook."""

from __future__ import annotations

import pytest

from tests.e2e.builder_process import Builder, Repo, notebook


@pytest.mark.exhaustive
def test_a_quiet_notebook_costs_about_one_read_a_second(own_builder: Builder, repo: Repo) -> None:
    quiet = 12
    repo.write({"demo.ipynb": notebook("print('on it')", f"import time; time.sleep({quiet})")})
    done = own_builder.run(NB_NOTEBOOKS="demo.ipynb")
    assert done.code == 0, done.output
    calls = own_builder.cloud.inventory()["calls"]
    seconds = done.job("demo")["seconds"]
    # One conditional read a second, and twenty more in the first twenty seconds, when the builder looks more often; the
    # log's pieces, evidence and notebook; and the VM's own reads and writes.
    assert calls["storage.objects.get"] <= 1.2 * seconds + 20 + 25
    assert calls["storage.objects.list"] <= 8
    # The storage library's own, on the VM; there the variable that turns it off would reach the notebook.
    assert calls.get("storage.buckets.get", 0) <= 1
    assert calls["compute.instances.get"] <= seconds / 10 + 5
    # A heartbeat every two seconds, and what is staged, logged and published.
    assert calls["storage.objects.insert"] <= seconds / 1.5 + 30
