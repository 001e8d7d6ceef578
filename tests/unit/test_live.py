"""live.json: what is in it comes back, what makes it another one, and which promotion wins."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from builder.deploy.build import scheduled_build
from builder.deploy.live import (
    MAX_EARLIER,
    Accounts,
    ArchiveRef,
    BuilderRef,
    Live,
    LiveDocument,
    LiveJob,
    LiveNotebook,
    Location,
    Newest,
    Schedule,
    Source,
    decode,
    first,
)
from builder.deploy.promotion import decide
from builder.errors import ProjectSetup
from builder.model import GcsLocation
from builder.plan.build_plan import MAX_BUILD_SECONDS

EARLY, LATER = "2026-07-01T06:00:00.123456789Z", "2026-07-01T06:00:00.223456789Z"


def live(sha: str = "a" * 64, created: str = EARLY, build: str | None = "b-1", run: str = "r-1") -> Live:
    job = LiveJob("demo", "i" * 64, "projects/p/global/images/i", ("pandas==2.3.0",), run)
    archive = ArchiveRef(f"ci/live/f/{sha}.tar.gz", "17", sha, 100)
    return Live(
        archive=archive,
        location=Location("p", "us-central1", "news"),
        accounts=Accounts("notebook-function@p", "notebook-function-build@p", "notebook-trigger@p"),
        builder=BuilderRef("0.1.0", "r/notebook-builder@sha256:" + "d" * 64, "k" * 64),
        notebooks=(LiveNotebook("demo.ipynb", {"day": "string"}, (job,)),),
        schedule=Schedule("0 6 * * 1", "Europe/Paris", {"demo.ipynb": {"day": "{today-7d}"}}),
        builds_per_hour=12,
        source=Source(build, created, "c" * 40),
        build={"steps": [{"name": "x", "args": ["run"]}]},
    )


def test_a_document_is_read_as_it_was_written() -> None:
    document = first(live()).promoted(live("b" * 64, LATER))
    assert decode(document.encode(), "gs://b/live.json") == document


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{}", b'{"schema": 2}', first(live()).encode().replace(b'"size"', b'"length"')],
    ids=["empty", "a list", "empty object", "other schema", "renamed field"],
)
def test_a_document_of_another_schema_is_reported_as_unreadable(raw: bytes) -> None:
    with pytest.raises(ProjectSetup, match=r"gs://b/live\.json cannot be read"):
        decode(raw, "gs://b/live.json")


def test_proof_and_promoter_do_not_change_the_tag() -> None:
    current = first(live())
    assert decide(current, live(created=LATER, build="b-2", run="r-9")) is None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(live("b" * 64), id="archive"),
        pytest.param(replace(live(), builds_per_hour=13), id="builds per hour"),
        pytest.param(replace(live(), schedule=Schedule(None, "Etc/UTC", {})), id="schedule"),
        pytest.param(replace(live(), builder=BuilderRef("0.2.0", "x", "k")), id="builder"),
        pytest.param(replace(live(), location=Location("p", "europe-west1", "news")), id="location"),
        pytest.param(
            replace(
                live(), accounts=Accounts("notebook-function@p", "notebook-function-build@p", "another@p")
            ),
            id="accounts",
        ),
        pytest.param(replace(live(), build={"steps": []}), id="build"),
    ],
)
def test_every_other_difference_is_one(other: Live) -> None:
    current = first(live())
    assert decide(current, other) == current.promoted(other)


def test_a_newer_build_wins_and_an_older_one_that_comes_late_changes_nothing() -> None:
    current = first(live("b" * 64, LATER, "b-2"))
    assert decide(current, live(created=EARLY)) == current.newest
    assert isinstance(decide(current, live("c" * 64, LATER, "b-3")), LiveDocument)


def test_a_rollback_leaves_the_newest_so_that_older_builds_stay_late() -> None:
    document = first(live()).promoted(live("b" * 64, LATER, "b-2")).rolled_back()
    assert document.live == live()
    assert document.earlier == ()
    assert isinstance(decide(document, live("c" * 64, EARLY)), Newest)


def test_only_so_many_earlier_ones_are_kept() -> None:
    document = first(live("0" * 64))
    for number in range(1, MAX_EARLIER + 5):
        document = document.promoted(live(f"{number:064}", LATER))
    assert len(document.earlier) == MAX_EARLIER
    assert document.earlier[0].archive.sha256 == f"{MAX_EARLIER + 3:064}"


def test_nothing_stands_there_yet() -> None:
    assert decide(None, live()) == LiveDocument(live(), first(live()).newest)


def test_the_build_names_everything_exactly() -> None:
    build = scheduled_build(
        function="demo-notebook",
        project="p",
        location=GcsLocation("b", "ci"),
        archive=live().archive,
        image="r/notebook-builder@sha256:" + "d" * 64,
        account="notebook-builder@my-project.iam.gserviceaccount.com",
        endpoints={"storage": "http://127.0.0.1:1", "compute": "http://127.0.0.1:1"},
        worst_case_seconds=3000,
    )
    assert build["source"]["storageSource"] == {
        "bucket": "b",
        "object": live().archive.object,
        "generation": "17",
    }
    assert build["timeout"] == "3600s"
    assert build["queueTtl"] == "21600s"
    assert build["steps"][0]["env"][:2] == [
        "NB_CONFIG=.notebook-builder/notebooks.json",
        "NB_GCS_LOCATION=gs://b/ci",
    ]
    assert "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=http://127.0.0.1:1" in build["steps"][0]["env"]
    assert "$" not in json.dumps(build)


def test_no_build_is_longer_than_cloud_build_lets_it_be() -> None:
    build = scheduled_build(
        function="f",
        project="p",
        location=GcsLocation("b", ""),
        archive=live().archive,
        image="i",
        account="a",
        endpoints={},
        worst_case_seconds=10**6,
    )
    assert build["timeout"] == f"{MAX_BUILD_SECONDS}s"
    assert "NB_GCS_LOCATION=gs://b" in build["steps"][0]["env"]
