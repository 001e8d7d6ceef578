"""Tests what `deploy` reads of an operation of Cloud Functions: the log of the build."""

from __future__ import annotations

import pytest
from google.cloud import functions_v2
from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped]

from builder.gcp import functions


@pytest.mark.parametrize(
    ("build", "page"),
    [
        pytest.param("", "", id="no build yet"),
        pytest.param(
            "projects/p/locations/us-central1/builds/b-1",
            "https://console.cloud.google.com/cloud-build/builds;region=us-central1/b-1?project=p",
            id="a build",
        ),
        pytest.param("b-1", "", id="another form, which Google's documentation does not exclude"),
    ],
)
def test_the_log_of_a_functions_build(build: str, page: str) -> None:
    operation = Operation(name="op")
    operation.metadata.Pack(
        functions_v2.OperationMetadata.pb(functions_v2.OperationMetadata(build_name=build))
    )
    assert functions._operation(operation).log_url == page
