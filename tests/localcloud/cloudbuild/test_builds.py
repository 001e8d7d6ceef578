"""A build's inputs to its steps, and their results: substitutions, environment, secrets, outputs, the log."""

from __future__ import annotations

import base64

from localcloud.core.iam import PROJECT, email
from tests.localcloud.cloudbuild.cloud_fixture import REGION, CloudFixture, Json, one, shell

VERSION = f"projects/{PROJECT}/secrets/token/versions/1"
SECRET = {"secretManager": [{"versionName": VERSION, "env": "TOKEN"}]}


def printed(cloud_fixture: CloudFixture, build: Json, **how: str) -> list[str]:
    """Run a build that must succeed; return the lines of its steps."""
    ended = cloud_fixture.run(build, **how)
    lines = cloud_fixture.lines(ended["id"])
    assert ended["status"] == "SUCCESS", lines
    return [
        line for line in lines[lines.index("BUILD") + 1 : lines.index("PUSH")] if "Already have" not in line
    ]


def test_the_log_of_one_step(cloud_fixture: CloudFixture) -> None:
    build_id = cloud_fixture.run(one("echo hello"))["id"]
    assert cloud_fixture.lines(build_id) == [
        f'starting build "{build_id}"',
        "",
        "FETCHSOURCE",
        "BUILD",
        "Already have image (with digest): ubuntu",
        "hello",
        "PUSH",
        "DONE",
    ]


def test_the_log_of_several_steps(cloud_fixture: CloudFixture) -> None:
    build = {"steps": [shell("echo one", id="first"), shell("echo two >&2; exit 2", name="bash")]}
    ended = cloud_fixture.run(build)
    assert cloud_fixture.lines(ended["id"])[3:] == [
        "BUILD",
        'Starting Step #0 - "first"',
        'Step #0 - "first": Already have image (with digest): ubuntu',
        'Step #0 - "first": one',
        'Finished Step #0 - "first"',
        "Starting Step #1",
        "Step #1: Already have image (with digest): bash",
        "Step #1: two",
        "Finished Step #1",
        "ERROR",
        'ERROR: build step 1 "bash" failed: step exited with non-zero status: 2',
    ]
    assert ended["statusDetail"] == 'build step 1 "bash" failed: step exited with non-zero status: 2'
    assert [(step["status"], step.get("exitCode")) for step in ended["steps"]] == [
        ("SUCCESS", None),
        ("FAILURE", 2),
    ]


def test_substitutions_have_values(cloud_fixture: CloudFixture) -> None:
    values = (
        "$PROJECT_ID $PROJECT_NUMBER $LOCATION ${BUILD_ID} $SERVICE_ACCOUNT_EMAIL $_MINE $COMMIT_SHA|$$HOME"
    )
    build = {
        **one(f"echo '{values}'"),
        "substitutions": {"_MINE": "own", "COMMIT_SHA": "c0ffee"},
        "tags": ["t-$_MINE"],
    }
    ended = cloud_fixture.run(build, location=REGION)
    expected = f"{PROJECT} 123456789012 {REGION} {ended['id']} {email('notebook-deployer')} own c0ffee|$HOME"
    assert expected in cloud_fixture.lines(ended["id"])
    assert ended["tags"] == ["t-own"]
    assert ended["steps"][0]["args"][2] == f"echo '{expected}'"
    assert ended["substitutions"] == {"_MINE": "own", "COMMIT_SHA": "c0ffee"}


def test_the_account_may_be_named_by_substitutions(cloud_fixture: CloudFixture) -> None:
    build = one("echo $$CALLER $SERVICE_ACCOUNT_EMAIL") | {
        "serviceAccount": "projects/$PROJECT_ID/serviceAccounts/${_WHO}@$PROJECT_ID.iam.gserviceaccount.com",
        "substitutions": {"_WHO": "notebook-vm"},
        "options": {"logging": "NONE"},
    }
    assert printed(cloud_fixture, build) == [f"{email('notebook-vm')} {email('notebook-vm')}"]


def test_a_global_build_has_the_location_global(cloud_fixture: CloudFixture) -> None:
    assert printed(cloud_fixture, one("echo $LOCATION")) == ["global"]


def test_the_order_of_the_environment(cloud_fixture: CloudFixture) -> None:
    """Weakest first: the cloud's variables, substitutions, options.env, the step's env, secrets."""
    cloud_fixture.secrets[VERSION] = b"hush"
    build = {
        "steps": [
            shell(
                "echo $$WEAK $$_B $$_C $$_D $$TOKEN $$CALLER",
                env=["_C=step", "_D=step"],
                secretEnv=["TOKEN"],
                automapSubstitutions=True,
            )
        ],
        "options": {"env": ["WEAK=options", "_B=options", "_C=options"]},
        "substitutions": {"_B": "x", "_C": "x", "_D": "x"},
        "availableSecrets": SECRET,
    }
    assert printed(cloud_fixture, build) == [f"options options step step hush {email('notebook-deployer')}"]


def test_automapped_substitutions_are_variables(cloud_fixture: CloudFixture) -> None:
    build = {
        "steps": [{"name": "ubuntu", "script": "echo $_A $BUILD_ID | cut -c1-10"}],
        "options": {"automapSubstitutions": True},
        "substitutions": {"_A": "own"},
    }
    assert printed(cloud_fixture, build)[0].startswith("own ")


def test_nothing_of_the_local_cloud_helps_a_step(cloud_fixture: CloudFixture) -> None:
    assert printed(cloud_fixture, one("echo [$$PROJECT_ID$$GOOGLE_CLOUD_PROJECT$$BUILD_ID]")) == ["[]"]


def test_steps_share_workspace_and_home(cloud_fixture: CloudFixture) -> None:
    build = {
        "steps": [
            shell("echo a > file; echo b > $$HOME/file"),
            shell("cat ../file $$HOME/file; pwd", dir="sub"),
            {"name": "bash", "script": "#!/bin/bash\necho ${BASH_VERSION:+bash} $0", "dir": "/tmp"},
            {"name": "gcr.io/cloud-builders/git", "args": ["--version"]},
        ]
    }
    lines = [line.partition(": ")[2] for line in printed(cloud_fixture, build)]
    assert [line for line in lines if line][:3] == ["a", "b", "/workspace/sub"]


def test_outputs_of_steps(cloud_fixture: CloudFixture) -> None:
    build = {
        "steps": [
            shell("printf 'a\\000\\377' > $$BUILDER_OUTPUT/output"),
            shell("true"),
            shell("head -c 60000 /dev/zero > $$BUILDER_OUTPUT/output"),
            shell("echo late > $$BUILDER_OUTPUT/output; exit 1"),
            shell("echo never"),
        ]
    }
    results = cloud_fixture.run(build)["results"]
    outputs = [base64.b64decode(text) for text in results["buildStepOutputs"]]
    assert outputs == [b"a\x00\xff", b"", bytes(50 * 1024), b"late\n", b""]
    assert results["buildStepImages"] == [""] * 5


def test_a_secret_is_read_as_the_builds_account(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.secrets[VERSION] = "gehéim\n".encode()
    build = one('test "$$TOKEN" = "gehéim\n"') | {
        "availableSecrets": SECRET,
        "options": {"secretEnv": ["TOKEN"]},
    }
    assert printed(cloud_fixture, build) == []
    assert cloud_fixture.asked_by == [email("notebook-deployer")]


def test_a_missing_secret_fails_the_build_before_any_step(cloud_fixture: CloudFixture) -> None:
    build = {
        "steps": [shell("echo ran"), shell("true", secretEnv=["TOKEN"])],
        "availableSecrets": SECRET,
    }
    ended = cloud_fixture.run(build)
    words = (
        f"failed to access secret version for secret {VERSION}: rpc error: code = NotFound desc = "
        f"Secret [projects/{PROJECT}/secrets/token] not found or has no versions."
    )
    assert ended["statusDetail"] == f'build step 1 "ubuntu" failed: {words}'
    assert [step["status"] for step in ended["steps"]] == ["QUEUED", "QUEUED"]
    assert "ran" not in cloud_fixture.log(ended["id"])


def test_every_byte_that_steps_print_arrives(cloud_fixture: CloudFixture) -> None:
    """Not UTF-8, very long lines, and a last line without its end."""
    ended = cloud_fixture.run(
        one("printf 'a\\377\\nlong '; head -c 3000000 /dev/zero | tr '\\000' x; printf '\\npartial'")
    )
    log = b""
    complete = False
    while not complete:
        data, complete = cloud_fixture.service.log(ended["id"], len(log))
        log += data
    body = log.partition(b"ubuntu\n")[2].partition(b"PUSH\n")[0]
    assert body == b"a\xff\nlong " + b"x" * 3_000_000 + b"\npartial\n"


def test_parallel_steps_interleave_by_whole_lines(cloud_fixture: CloudFixture) -> None:
    """Each step's lines are whole and in order, and none is lost."""
    command = "for i in $$(seq 300); do echo $$i {}{}{}; done"
    steps = [shell(command.format(*[c * 20] * 3), id=c, waitFor=["-"]) for c in "abcd"]
    lines = printed(cloud_fixture, {"steps": steps})
    for number, letter in enumerate("abcd"):
        title = f'Step #{number} - "{letter}": '
        own = [line.removeprefix(title) for line in lines if line.startswith(title)]
        assert own == [f"{i} {letter * 60}" for i in range(1, 301)]


def test_steps_wait_for_others(cloud_fixture: CloudFixture) -> None:
    """The third step waits only for the first, while the second runs on."""
    steps = [
        shell("echo first", id="one"),
        shell("until test -e done; do sleep 0.05; done", id="two", waitFor=["-"]),
        shell("touch done", waitFor=["one"]),
    ]
    lines = printed(cloud_fixture, {"steps": steps})
    order = ['Finished Step #0 - "one"', "Starting Step #2", 'Finished Step #1 - "two"']
    assert sorted(order, key=lines.index) == order
