"""A VM gets the kit of its CPython from the builder, by asking for it; the next one finds it."""

from __future__ import annotations

import pytest

from builder import kit
from builder.kit.build import own_cpython
from tests.e2e.builder_process import BUCKET, Builder, Repo, notebook


@pytest.mark.exhaustive
def test_the_first_vm_of_a_location_asks_for_its_kit_and_the_next_finds_it(
    own_builder: Builder, repo: Repo
) -> None:
    repo.write({"demo.ipynb": notebook("print('on it')")})
    kits = own_builder.cloud.state / "storage" / BUCKET / own_builder.prefix / "kits"
    written = []
    for _ in range(2):
        done = own_builder.run(NB_NOTEBOOKS="demo.ipynb")
        assert done.code == 0, done.output
        written.append({path.name: path.stat().st_mtime_ns for path in kits.iterdir()})
    # machine images have the Python that runs the tests
    assert set(written[0]) == {f"{kit.load().archives[own_cpython()].sha256}.tar.gz"}
    assert written[1] == written[0]
