"""The checks of request bodies that services share."""

import pytest

from localcloud.core.bodies import check_covered, decoded, label_problem
from localcloud.core.errors import ApiError


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"Team": "x"}, id="key in upper case"),
        pytest.param({"1x": "x"}, id="key with a leading digit"),
        pytest.param({"": "x"}, id="empty key"),
        pytest.param({"a" * 64: "x"}, id="long key"),
        pytest.param({"team": "Data"}, id="value in upper case"),
        pytest.param({"team": "a" * 64}, id="long value"),
        pytest.param({f"k{n}": "x" for n in range(65)}, id="65 labels"),
    ],
)
def test_labels_that_are_refused(labels: dict[str, str]) -> None:
    assert label_problem(labels)


def test_labels_at_the_limits_are_accepted() -> None:
    assert label_problem({"a" * 63: "b" * 63, "c_-0": ""} | {f"k{n}": "x" for n in range(62)}) is None


@pytest.mark.parametrize("text", ["_-8=", "/+8", "_-8"], ids=["URL-safe", "plain", "no padding"])
def test_base64_may_be_url_safe_and_lack_its_padding(text: str) -> None:
    assert decoded(text) == decoded("_-8=")
    assert len(decoded(text)) == 2
    assert decoded(None) == b""


def test_a_field_that_is_not_covered_is_named_if_it_has_a_value() -> None:
    check_covered({"a": "", "b": None}, ("a", "b", "c"), "topic")
    with pytest.raises(ApiError, match=r"the field 'config\.b' of a topic") as caught:
        check_covered({"b": 1}, ("a", "b"), "topic", "config.")
    assert caught.value.status == 501
