"""The Cloud Function: passes each event of its topic to builder.function, which its source archive contains."""

import functions_framework
from cloudevents.http import CloudEvent

from builder.function.submit import handle_event


@functions_framework.cloud_event
def submit(event: CloudEvent) -> None:
    """Submit a build for the event. If this raises, Pub/Sub delivers the event again."""
    handle_event(event["id"], event["time"], event.data)
