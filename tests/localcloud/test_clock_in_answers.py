"""The Date header of an answer follows the local cloud's clock, from which programs take the present time."""

from __future__ import annotations

import email.utils
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localcloud.cloud import Cloud


def date_of(cloud: Cloud) -> float:
    with urllib.request.urlopen(f"{cloud.url}/_localcloud/health") as answer:
        return email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()


def test_the_date_of_an_answer_moves_with_the_clock(cloud: Cloud) -> None:
    before = date_of(cloud)
    cloud.clock.advance(86_400)
    assert 86_400 <= date_of(cloud) - before < 86_460
