"""The rows of the fault matrix about deployments. tests/integration/test_fault_matrix.py has those about runs."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest

from builder.errors import BuilderError, ProjectSetup
from builder.report import ending
from builder.report.console import Console
from tests.deploy.deployment_fixture import DeploymentFixture, changed
from tests.deploy.test_races import overtaken
from tests.deploy.test_reconcile import FUNCTIONS, assert_stands, run
from tests.golden_endings import check, last_lines, steady


def update_fails(deployment_fixture: DeploymentFixture) -> BuilderError:
    """The function's creation is refused; the next deployment completes it."""
    cloud_fixture = deployment_fixture.cloud_fixture
    cloud_fixture.fault(f"{FUNCTIONS}.create", "error", status=403, reason="forbidden", message="no")
    with pytest.raises(ProjectSetup) as caught:
        run(cloud_fixture)
    run(cloud_fixture)
    assert_stands(cloud_fixture)
    return caught.value


def two_builds(deployment_fixture: DeploymentFixture) -> str:
    """The newer build deploys between the older one's look and write."""
    message = overtaken(deployment_fixture, deployed=False)
    assert not changed(message)
    return message


_BUILD = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
ROWS: dict[str, Callable[[DeploymentFixture], BuilderError | str]] = {
    "36-deployment-fails": update_fails,
    "37-two-deployments": two_builds,
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ROWS)
def test_row(deployment_fixture: DeploymentFixture, name: str) -> None:
    """`make test` has the same in test_reconcile.py and test_races.py, without the text."""
    came = ROWS[name](deployment_fixture)
    stream = io.StringIO()
    if isinstance(came, str):
        check(name, f"{re.sub(_BUILD, 'BUILD', steady(came))}\n== exit code 0; the newer build is live\n")
        return
    ending.failed(Console(stream), came)
    text = re.sub(r"op-[\w-]+|operation-[\w-]+", "OPERATION", last_lines(stream.getvalue()))
    check(name, f"{text}== exit code {int(came.exit_code)}\n")
