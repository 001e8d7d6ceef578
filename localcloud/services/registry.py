"""The services, in the order in which they are built: a service may use those before it."""

from __future__ import annotations

from localcloud.core.spec import Spec
from localcloud.services import (
    artifactregistry,
    bigquery,
    cloudbuild,
    compute,
    functions,
    iam,
    pubsub,
    resourcemanager,
    run,
    scheduler,
    secretmanager,
    serviceusage,
    storage,
)

SPECS: tuple[Spec, ...] = (
    storage.SPEC,
    compute.SPEC,
    bigquery.SPEC,
    secretmanager.SPEC,
    serviceusage.SPEC,
    cloudbuild.SPEC,
    pubsub.SPEC,
    scheduler.SPEC,
    resourcemanager.SPEC,
    iam.SPEC,
    artifactregistry.SPEC,
    run.SPEC,
    functions.SPEC,
)
