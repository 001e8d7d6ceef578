"""The source archive as Cloud Functions takes it: uploaded, built, served, and fed by Pub/Sub."""

from __future__ import annotations

import json
from pathlib import Path

from builder.deploy.function_source import function_source
from localcloud.cloud import Cloud
from tests.function.world import ADDRESS, REGION, Function, World
from tests.localcloud.functions.conftest import World as Deployment
from tests.localcloud.functions.conftest import await_true


def test_a_published_message_becomes_one_build_however_often_it_is_pushed(tmp_path: Path) -> None:
    with Cloud(tmp_path / "state") as cloud:
        world, deployment = World(cloud, Function(tmp_path / "unused", {})), Deployment(cloud)
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
        live = world.make_live({"day": "string"})
        duplicate = {"method": "pubsub.subscriptions.push", "action": "duplicate", "args": {"copies": 5}}
        cloud.faults.add(duplicate)
        message = deployment.publish(json.dumps({"parameters": {"day": "$HOME"}}).encode())

        def delivered() -> bool:
            cloud.clock.advance(20)
            return deployment.backlog() == 0 and "duplicate of build" in deployment.log()

        await_true(delivered, deployment.log)
        (build,) = world.builds()
        assert build["location"] == REGION
        assert build["tags"] == [*live.build["tags"], f"event-{message}"]
        assert world.variables(build["id"])["NB_EVENT"] == '{"parameters": {"day": "$HOME"}}'
        lines = [json.loads(line) for line in deployment.log().splitlines() if line.startswith('{"severity"')]
        told = [line for line in lines if line.get("event") == message]
        assert {line["severity"] for line in told} == {"INFO"}
        assert sum(line["message"].startswith("submitted build ") for line in told) == 1
        inventory = cloud.inventory()
    assert inventory["schema_violations"] == inventory["internal_errors"] == []
    assert all(fault["consumed"] == 1 for fault in inventory["faults"])
