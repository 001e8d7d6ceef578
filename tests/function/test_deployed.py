"""The source archive in Cloud Functions: uploaded, built, served, and called by Pub/Sub."""

from __future__ import annotations

import json
from pathlib import Path

from builder.deploy.function_source import function_source
from localcloud.cloud import Cloud
from tests.function.function_fixture import ADDRESS, REGION, Function, FunctionFixture
from tests.granting import granting
from tests.localcloud.functions.conftest import CloudFixture as Deployment
from tests.polling import eventually


def test_a_published_message_becomes_one_build_however_often_it_is_pushed(tmp_path: Path) -> None:
    with Cloud(tmp_path / "state", profile=granting()) as cloud:
        function_fixture, deployment = (
            FunctionFixture(cloud, Function(tmp_path / "unused", {})),
            Deployment(cloud),
        )
        names = ("STORAGE", "CLOUDBUILD")
        variables = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": cloud.url for name in names}
        deployment.topic()
        deployment.create(
            build_config__entry_point="submit",
            build_config__source={"storage_source": deployment.upload(function_source().zip)},
            service_config__timeout_seconds=120,
            service_config__environment_variables=variables | {"NB_LIVE": ADDRESS},
        )
        deployment.bind()
        live = function_fixture.make_live({"day": "string"})
        duplicate = {"method": "pubsub.subscriptions.push", "action": "duplicate", "args": {"copies": 5}}
        cloud.faults.add(duplicate)
        message = deployment.publish(json.dumps({"parameters": {"day": "$HOME"}}).encode())

        def delivered() -> bool:
            cloud.clock.advance(20)
            return deployment.backlog() == 0 and "duplicate of build" in deployment.log()

        eventually(delivered, deployment.log)
        (build,) = function_fixture.builds()
        assert build["location"] == REGION
        assert build["tags"] == [*live.build["tags"], f"event-{message}"]
        assert function_fixture.variables(build["id"])["NB_EVENT"] == '{"parameters": {"day": "$HOME"}}'
        lines = [json.loads(line) for line in deployment.log().splitlines() if line.startswith('{"severity"')]
        delivery = [line for line in lines if line.get("event") == message]
        assert {line["severity"] for line in delivery} == {"INFO"}
        assert sum(line["message"].startswith("submitted build ") for line in delivery) == 1
        inventory = cloud.inventory()
    assert inventory["schema_violations"] == inventory["internal_errors"] == []
    assert all(fault["consumed"] == 1 for fault in inventory["faults"])
