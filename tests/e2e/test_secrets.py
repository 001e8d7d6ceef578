"""Secrets through the real builder: given, redacted everywhere, and refused with the command that helps."""

from __future__ import annotations

import json
import secrets as random_secrets
import uuid

import pytest

from tests.canary import assert_absent, make_secret, recorded, stored
from tests.e2e.shared_run import PATIENCE, run_patiently
from tests.e2e.world import Builder, Finished, Repo, notebook

pytestmark = pytest.mark.timeout(PATIENCE + 20)

PRINTS = (
    "import base64, os, urllib.parse\nc = os.environ['MAPS_KEY']\nprint('key', c, base64.b64encode(c.encode()).decode(), "
    "urllib.parse.quote(c))\nopen('outputs/keys.csv', 'w').write(c)\nos.write(2, c.encode() + b'\\n')\nc"
)


def a_secret(builder: Builder, value: str, *, granted: bool = True) -> str:
    return make_secret(builder.cloud.url, f"maps-key-{uuid.uuid4().hex[:8]}", value.encode(), granted=granted)


ALONE = "assert 'OTHER_KEY' not in os.environ"  # what another notebook of the run is given


def with_secrets(path: str, **versions: str) -> dict[str, object]:
    return {"path": f"{path}.ipynb", "secrets": versions}


def test_each_notebook_gets_its_own_secrets_and_no_value_is_left_anywhere(
    own_builder: Builder, repo: Repo
) -> None:
    values = {name: f"maps/ké+y-{random_secrets.token_hex(10)}" for name in ("MAPS_KEY", "OTHER_KEY")}
    maps, other = (f"{a_secret(own_builder, value)}/versions/latest" for value in values.values())
    values["REFUSED"] = random_secrets.token_hex(20)
    refused = a_secret(own_builder, values["REFUSED"], granted=False)
    entries = [
        with_secrets("demo", MAPS_KEY=maps),
        with_secrets("fails", MAPS_KEY=maps),
        with_secrets("leaks", MAPS_KEY=maps, OTHER_KEY=other),
        with_secrets("refused", MAPS_KEY=f"{refused}/versions/1"),
    ]
    repo.write(
        {
            "notebooks.yaml": json.dumps({"notebooks": entries}),
            "demo.ipynb": notebook(PRINTS, ALONE),
            "fails.ipynb": notebook("import os\nraise ValueError('no entry with ' + os.environ['MAPS_KEY'])"),
            "leaks.ipynb": notebook(
                "import os\nopen('outputs/x.png', 'wb').write(b'\\x89PNG\\0' + os.environb[b'MAPS_KEY'])"
            ),
            "refused.ipynb": notebook("print('never')"),
        }
    )
    with recorded() as sent:
        done = run_patiently(own_builder)
        places = {**stored(own_builder.cloud.state), **sent(), "the build's log": done.output.encode()}
    assert done.code == 4
    jobs = {job["job"]: (job["verdict"], job["reason"]) for job in done.summary()["jobs"]}
    assert jobs == {
        "demo": ("green", "green"),
        "fails": ("red", "cell_failed"),
        "leaks": ("red", "secret_in_output"),
        "refused": ("red", "secret_refused"),
    }, done.output
    assert_absent(values, places)
    assert done.published("demo")["outputs/keys.csv"] == b"[redacted MAPS_KEY]"
    assert "key [redacted MAPS_KEY]" in done.output
    assert "ValueError: no entry with [redacted MAPS_KEY]" in done.output
    assert "outputs/x.png was not uploaded: it holds the value of secret MAPS_KEY" in done.output
    assert "outputs/x.png" not in done.published("leaks")
    assert_refused_before_the_notebook(done, refused)


def assert_refused_before_the_notebook(done: Finished, name: str) -> None:
    """A secret that the VM's account may not read ends the job, with the command that helps."""
    assert done.job("refused")["exit_code"] == 4
    assert done.job("refused")["attempts"] == 1
    secret = name.rpartition("/")[2]
    assert (
        f"secret MAPS_KEY ({name}/versions/1): the VM's account lacks roles/secretmanager.secretAccessor on it"
        in done.output
    )
    assert (
        f"gcloud secrets add-iam-policy-binding {secret} --project=local-project "
        "--member=serviceAccount:vm@local-project.iam.gserviceaccount.com --role=roles/secretmanager.secretAccessor"
        in done.output
    )
    assert "| never" not in done.output
    assert "refused.ipynb" not in done.published("refused")
