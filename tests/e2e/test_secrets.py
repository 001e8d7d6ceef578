"""Secrets through the real builder: given, redacted everywhere, and refused with the command that helps."""

from __future__ import annotations

import secrets as random_secrets
import uuid

import pytest

from tests.canary import assert_absent, make_secret, recorded, stored
from tests.e2e.world import Builder, Repo, notebook

pytestmark = pytest.mark.slow

PRINTS = (
    "import base64, os, urllib.parse\nc = os.environ['MAPS_KEY']\nprint('key', c, base64.b64encode(c.encode()).decode(), "
    "urllib.parse.quote(c))\nopen('outputs/keys.csv', 'w').write(c)\nos.write(2, c.encode() + b'\\n')\nc"
)


def a_secret(builder: Builder, value: str, *, granted: bool = True) -> str:
    return make_secret(builder.cloud.url, f"maps-key-{uuid.uuid4().hex[:8]}", value.encode(), granted=granted)


def test_a_run_leaves_no_value_anywhere(own_builder: Builder, repo: Repo) -> None:
    value = f"maps/ké+y-{random_secrets.token_hex(10)}"
    name = a_secret(own_builder, value)
    repo.write(
        {
            "demo.ipynb": notebook(PRINTS),
            "fails.ipynb": notebook("import os\nraise ValueError('no entry with ' + os.environ['MAPS_KEY'])"),
            "leaks.ipynb": notebook(
                "import os\nopen('outputs/x.png', 'wb').write(b'\\x89PNG\\0' + os.environb[b'MAPS_KEY'])"
            ),
            "plain.ipynb": notebook("import os\nassert 'MAPS_KEY' not in os.environ"),
            "notebooks.yaml": "notebooks:\n- plain.ipynb\n"
            + "".join(
                f"- path: {path}.ipynb\n  secrets: {{MAPS_KEY: {name}/versions/latest}}\n"
                for path in ("demo", "fails", "leaks")
            ),
        }
    )
    with recorded() as sent:
        done = own_builder.run()
        places = {**stored(own_builder.cloud.state), **sent(), "the build's log": done.output.encode()}
    assert done.code == 1
    jobs = {job["job"]: (job["verdict"], job["reason"]) for job in done.summary()["jobs"]}
    assert jobs == {
        "demo": ("green", "green"),
        "fails": ("red", "cell_failed"),
        "leaks": ("red", "secret_in_output"),
        "plain": ("green", "green"),
    }, done.output
    assert_absent({"MAPS_KEY": value}, places)
    assert done.published("demo")["outputs/keys.csv"] == b"[redacted MAPS_KEY]"
    assert "key [redacted MAPS_KEY]" in done.output
    assert "ValueError: no entry with [redacted MAPS_KEY]" in done.output
    assert "outputs/x.png was not uploaded: it holds the value of secret MAPS_KEY" in done.output
    assert "outputs/x.png" not in done.published("leaks")


def test_a_secret_that_may_not_be_read_ends_the_run_before_the_notebook(builder: Builder, repo: Repo) -> None:
    name = a_secret(builder, "some-value-1", granted=False)
    repo.write({"demo.ipynb": notebook("print('never')")})
    done = builder.run(NB_NOTEBOOKS="demo.ipynb", NB_SECRETS=f"MAPS_KEY={name}/versions/1")
    assert done.code == 4
    assert done.job("demo")["reason"] == "secret_refused"
    assert done.job("demo")["attempts"] == 1
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
    assert "demo.ipynb" not in done.published("demo")
