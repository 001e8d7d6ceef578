"""Secrets through the real builder: given, redacted everywhere, and refused with the command that helps."""

from __future__ import annotations

import json
import secrets as random_secrets
import uuid
from collections.abc import Iterable

import pytest

from tests.canary import assert_absent, make_secret, recorded, stored
from tests.e2e.builder_process import Builder, Finished, Repo, notebook

PRINTS = (
    "import base64, os, urllib.parse\nc = os.environ['MAPS_KEY']\nprint('key', c, base64.b64encode(c.encode()).decode(), "
    "urllib.parse.quote(c))\nopen('outputs/keys.csv', 'w').write(c)\nos.write(2, c.encode() + b'\\n')\nc"
)


def a_secret(builder: Builder, value: str, *, granted: bool = True) -> str:
    return make_secret(builder.cloud, f"maps-key-{uuid.uuid4().hex[:8]}", value.encode(), granted=granted)


ALONE = "assert 'OTHER_KEY' not in os.environ"  # what another notebook of the run is given
NOTEBOOKS = {
    "demo": notebook(PRINTS, ALONE),
    "fails": notebook("import os\nraise ValueError('no entry with ' + os.environ['MAPS_KEY'])"),
    "leaks": notebook(
        "import os\nopen('outputs/x.png', 'wb').write(b'\\x89PNG\\0' + os.environb[b'MAPS_KEY'])"
    ),
    "refused": notebook("print('never')"),
}


def run_and_find_nothing(
    builder: Builder, repo: Repo, values: Iterable[str], **secrets: dict[str, str]
) -> Finished:
    """Run these notebooks, each with its secrets; none of the values may be in the bucket, on the wire or in the log.

    No access token may be in the bucket, in a VM's folder, or in the log, either.
    """
    entries = [{"path": f"{name}.ipynb", "secrets": versions} for name, versions in secrets.items()]
    files = {f"{name}.ipynb": NOTEBOOKS[name] for name in secrets}
    repo.write({"notebooks.yaml": json.dumps({"notebooks": entries}), **files})
    with recorded() as sent:
        done = builder.run()
        places = {**stored(builder.cloud.state), **sent(), "the build's log": done.output.encode()}
        issued = set(builder.cloud.iam._tokens) - {builder.cloud.iam.owner_token}
    assert_absent({value: value for value in values}, places)
    written = {**stored(builder.cloud.state), "the build's log": done.output.encode()}
    assert issued
    assert [
        place for place, content in written.items() for token in issued if token.encode() in content
    ] == []
    return done


def verdicts(done: Finished) -> dict[str, tuple[str, str]]:
    return {job["job"]: (job["verdict"], job["reason"]) for job in done.summary()["jobs"]}


def test_a_notebook_gets_its_own_secrets_and_no_value_is_left_anywhere(
    own_builder: Builder, repo: Repo
) -> None:
    value, withheld = f"maps/ké+y-{random_secrets.token_hex(10)}", random_secrets.token_hex(20)
    maps = f"{a_secret(own_builder, value)}/versions/latest"
    refused = a_secret(own_builder, withheld, granted=False)
    done = run_and_find_nothing(
        own_builder,
        repo,
        (value, withheld),
        demo={"MAPS_KEY": maps},
        refused={"MAPS_KEY": f"{refused}/versions/1", "OTHER_KEY": maps},
    )
    assert done.code == 4
    assert verdicts(done) == {"demo": ("green", "green"), "refused": ("red", "secret_refused")}, done.output
    assert done.published("demo")["outputs/keys.csv"] == b"[redacted MAPS_KEY]"
    assert "key [redacted MAPS_KEY]" in done.output
    assert_refused_before_the_notebook(done, refused)


@pytest.mark.exhaustive  # vm/test_secrets.py has the same on one VM each
def test_what_fails_or_leaks_shows_no_value_either(own_builder: Builder, repo: Repo) -> None:
    values = [f"maps/ké+y-{random_secrets.token_hex(10)}" for _ in range(2)]
    maps, other = (f"{a_secret(own_builder, value)}/versions/latest" for value in values)
    done = run_and_find_nothing(
        own_builder,
        repo,
        values,
        fails={"MAPS_KEY": maps},
        leaks={"MAPS_KEY": maps, "OTHER_KEY": other},
    )
    assert verdicts(done) == {"fails": ("red", "cell_failed"), "leaks": ("red", "secret_in_output")}
    assert "ValueError: no entry with [redacted MAPS_KEY]" in done.output
    assert "outputs/x.png was not uploaded: it holds the value of secret MAPS_KEY" in done.output
    assert "outputs/x.png" not in done.published("leaks")


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
        "--member=serviceAccount:notebook-vm@local-project.iam.gserviceaccount.com --role=roles/secretmanager.secretAccessor "
        "--condition=None" in done.output
    )
    assert "| never" not in done.output
    assert "refused.ipynb" not in done.published("refused")
