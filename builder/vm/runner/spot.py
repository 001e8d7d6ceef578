"""Whether Compute Engine is taking this VM back, as the metadata server tells it."""

from __future__ import annotations

import os

import requests

PATIENCE = 2.0


def taken_back() -> bool:
    """Return whether this is a Spot VM that is being preempted; False also where nobody answers in time."""
    host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
    with requests.Session() as session:
        session.trust_env = False  # no proxy stands before the metadata server
        try:
            answer = session.get(
                f"http://{host}/computeMetadata/v1/instance/preempted",
                headers={"Metadata-Flavor": "Google"},
                timeout=PATIENCE,
            )
        except requests.RequestException:
            return False
        return answer.ok and answer.text.strip() == "TRUE"
