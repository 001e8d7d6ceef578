"""References to images: what a tag is asked of, and what is not asked at all."""

from __future__ import annotations

import pytest

from builder.deploy.image import by_digest, parse
from builder.errors import BadInput, InputRefused

DIGEST = "sha256:" + "0f" * 32
NAME = "europe-west1-docker.pkg.dev/my-project/tools/notebook-builder"


class Tags:
    """A registry that knows one tag and one version, and remembers what it was asked."""

    def __init__(self, answer: str | None = DIGEST, pushed: str | None = "2026-07-01T06:00:00.5Z") -> None:
        self.answer = answer
        self.when = pushed
        self.asked: list[tuple[str, str]] = []

    def pushed(self, package: str, digest: str) -> str | None:
        assert digest == DIGEST
        self.asked.append((package, digest))
        return self.when

    def digest(self, package: str, tag: str) -> str | None:
        self.asked.append((package, tag))
        return self.answer


@pytest.mark.parametrize(
    ("text", "package", "tag"),
    [
        pytest.param(
            NAME,
            "projects/my-project/locations/europe-west1/repositories/tools/packages/notebook-builder",
            "",
            id="no tag",
        ),
        pytest.param(
            f"{NAME}:1.2",
            "projects/my-project/locations/europe-west1/repositories/tools/packages/notebook-builder",
            "1.2",
            id="tag",
        ),
        pytest.param(
            "us-docker.pkg.dev/p/r/a/b:t",
            "projects/p/locations/us/repositories/r/packages/a/b",
            "t",
            id="multi-region, path in the repository",
        ),
        pytest.param(
            "us-docker.pkg.dev/example.com/p/r/a:t",
            "projects/example.com:p/locations/us/repositories/r/packages/a",
            "t",
            id="project of a domain",
        ),
        pytest.param(
            "eu.gcr.io/p/a/b:t",
            "projects/p/locations/europe/repositories/eu.gcr.io/packages/a/b",
            "t",
            id="gcr.io",
        ),
        pytest.param("docker.io/library/python:3", "", "3", id="Docker Hub"),
        pytest.param("localhost:5000/p/r/notebook-builder", "", "", id="localhost"),
        pytest.param("python", "", "", id="short name"),
        pytest.param("a tag", None, "", id="space"),
        pytest.param("us-docker.pkg.dev/p/r", "", "", id="no image"),
        pytest.param("us-docker.pkg.dev/p/R/a", None, "", id="upper case"),
        pytest.param("us-docker.pkg.dev/p/r/a:", None, "", id="empty tag"),
        pytest.param("us-docker.pkg.dev/p/r/a@sha256:12", None, "", id="short digest"),
        pytest.param("us-docker.pkg.dev/p/r/a@", None, "", id="empty digest"),
        pytest.param("", None, "", id="empty"),
    ],
)
def test_references(text: str, package: str | None, tag: str) -> None:
    found = parse(text)
    assert (found and found.package) == package
    if found is not None:
        assert found.tag == tag


@pytest.mark.parametrize("name", ["docker.io/library/python", "python", "localhost:5000/p/notebook-builder"])
@pytest.mark.parametrize("tag", ["", ":1.2"], ids=["no tag", "tag"])
def test_a_digest_of_another_registry_asks_nothing(name: str, tag: str) -> None:
    tags = Tags()
    assert by_digest(f"{name}{tag}@{DIGEST}", tags) == f"{name}@{DIGEST}"
    assert tags.asked == []


def test_a_digest_must_be_there_and_may_be_as_new_as_it_is() -> None:
    assert by_digest(f"{NAME}@{DIGEST}", Tags(), "2026-07-01T05:00:00Z") == f"{NAME}@{DIGEST}"
    with pytest.raises(InputRefused, match=f"no image {NAME}@{DIGEST}"):
        by_digest(f"{NAME}@{DIGEST}", Tags(pushed=None))


def test_a_tag_that_moved_during_the_build_is_refused() -> None:
    assert by_digest(f"{NAME}:1", Tags(), "2026-07-01T06:00:00.6Z") == f"{NAME}@{DIGEST}"
    with pytest.raises(
        InputRefused, match=r"notebook-builder:1 was pushed at .*, after this build was created"
    ):
        by_digest(f"{NAME}:1", Tags(), "2026-07-01T06:00:00.4Z")


def test_a_tag_is_asked_once_and_latest_is_the_tag_of_none() -> None:
    tags = Tags()
    assert by_digest(f"{NAME}:1.2", tags) == f"{NAME}@{DIGEST}"
    assert by_digest(NAME, tags) == f"{NAME}@{DIGEST}"
    assert [tag for _, tag in tags.asked] == ["1.2", DIGEST, "latest", DIGEST]


def test_an_image_that_cannot_be_resolved_is_reported() -> None:
    with pytest.raises(InputRefused, match=r"no image .*:1\.2"):
        by_digest(f"{NAME}:1.2", Tags(None))
    with pytest.raises(InputRefused, match="digest"):
        by_digest(f"{NAME}:1.2", Tags("12"))
    for text in ("docker.io/library/python:3", "no image", "python"):
        with pytest.raises(BadInput, match="NB_BUILDER_IMAGE"):
            by_digest(text, Tags())
