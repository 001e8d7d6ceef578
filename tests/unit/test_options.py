"""Options from flags, environment and notebooks.yaml: who wins, what is required, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pytest

from builder.errors import BadInput, Problem
from builder.model import Accelerator, GcsLocation
from builder.options import JobOptions, Options
from builder.options.commands import COMMANDS, PLANNING
from builder.options.day import DayRange
from builder.options.table import OPTIONS
from tests.loading import load_options

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "notebook-vm@local-project.iam.gserviceaccount.com"
MINIMAL = {"NB_NOTEBOOKS": "a.ipynb", "NB_GCS_LOCATION": "gs://nb-test/ci", "NB_VM_SERVICE_ACCOUNT": ACCOUNT}


def load(
    *argv: str, env: Mapping[str, str] | None = None, file: str | None = None, least: bool = True
) -> Options:
    files = {} if file is None else {"notebooks.yaml": file}
    return load_options(argv, (MINIMAL if least else {}) | dict(env or {}), files.get)


def job(*argv: str, env: Mapping[str, str] | None = None, file: str | None = None) -> JobOptions:
    return load(*argv, env=env, file=file).notebooks[0].options


def problems(
    *argv: str, env: Mapping[str, str] | None = None, file: str | None = None, least: bool = True
) -> list[str]:
    with pytest.raises(BadInput) as caught:
        load(*argv, env=env, file=file, least=least)
    return [str(problem) for problem in caught.value.problems]


def one_problem(*argv: str, env: Mapping[str, str] | None = None, file: str | None = None) -> Problem:
    with pytest.raises(BadInput) as caught:
        load(*argv, env=env, file=file)
    (problem,) = caught.value.problems
    return problem


def test_least_input_gives_the_documented_defaults() -> None:
    options = load()
    assert (options.command, options.format) == ("run", "text")
    assert options.gcs_location == GcsLocation("nb-test", "ci")
    assert (options.concurrency, options.fail_fast, options.output) == (4, False, "results/<run>")
    assert (options.project, options.run_id, options.endpoints, options.warnings) == (None, None, {}, ())
    (entry,) = options.notebooks
    assert (entry.pattern, entry.origin) == ("a.ipynb", "NB_NOTEBOOKS")
    assert entry.options == JobOptions(
        parameters={},
        env={},
        requirements=None,
        index_url=None,
        ca_bundle=None,
        setup=None,
        secrets={},
        expect=(),
        include=None,
        kernel=None,
        zones=("us-central1",),
        machine_type="e2-standard-4",
        accelerator=None,
        image_family="common-cu129-ubuntu-2404-nvidia-580",
        image=None,
        image_project="deeplearning-platform-release",
        boot_disk_gb=50,
        network="default",
        subnetwork=None,
        external_ip=False,
        vm_service_account=ACCOUNT,
        labels={},
        provisioning="standard",
        timeout=2400,
        cell_timeout=None,
        boot_timeout=600,
        setup_timeout=600,
        requirements_timeout=600,
        max_attempts=3,
    )


def test_flag_beats_environment_beats_entry_beats_top_beats_default() -> None:
    file = "timeout: 1\nnotebooks:\n- path: a.ipynb\n  timeout: 2\n"
    assert job(file="timeout: 1").timeout == 1
    assert job(file=file).timeout == 2
    assert job(file=file, env={"NB_TIMEOUT": "3"}).timeout == 3
    assert job("--timeout", "4", file=file, env={"NB_TIMEOUT": "3"}).timeout == 4
    assert job("run", "--timeout=5", file=file, env={"NB_TIMEOUT": "3"}).timeout == 5


@pytest.mark.parametrize(
    ("machine_type", "disk", "possible"),
    [
        pytest.param(
            "e2-standard-4", "hyperdisk-balanced", "pd-balanced or pd-ssd or pd-standard", id="e2-standard-4"
        ),
        pytest.param(
            "custom-4-8192", "hyperdisk-balanced", "pd-balanced or pd-ssd or pd-standard", id="custom-4-8192"
        ),
        pytest.param("n4d-standard-4", "pd-balanced", "hyperdisk-balanced", id="n4d-standard-4"),
        pytest.param("a3-highgpu-2g", "hyperdisk-balanced", "pd-balanced or pd-ssd", id="a3-highgpu-2g"),
        pytest.param(
            "a3-megagpu-8g", "pd-standard", "hyperdisk-balanced or pd-balanced or pd-ssd", id="a3-megagpu-8g"
        ),
        pytest.param(
            "c3-standard-4", "pd-standard", "pd-balanced or pd-ssd or hyperdisk-balanced", id="c3-standard-4"
        ),
        pytest.param("g2-standard-4", "pd-standard", "pd-balanced or pd-ssd", id="g2-standard-4"),
    ],
)
def test_a_boot_disk_that_the_series_does_not_take_is_a_mistake(
    machine_type: str, disk: str, possible: str
) -> None:
    problem = one_problem(env={"NB_MACHINE_TYPE": machine_type, "NB_BOOT_DISK_TYPE": disk})
    expected = f"NB_MACHINE_TYPE is {machine_type}, which boots from {possible}"
    assert problem == Problem("NB_BOOT_DISK_TYPE", disk, expected)


def test_a_boot_disk_of_no_known_type_is_a_mistake() -> None:
    expected = "expected pd-balanced, pd-ssd, pd-standard or hyperdisk-balanced"
    problem = one_problem(env={"NB_BOOT_DISK_TYPE": "ssd"})
    assert problem == Problem("NB_BOOT_DISK_TYPE", "ssd", expected)


def test_boot_disk_type_and_secure_boot_are_per_notebook() -> None:
    file = "secure_boot: false\nnotebooks:\n- path: a.ipynb\n  boot_disk_type: pd-ssd\n"
    assert (job(file=file).boot_disk_type, job(file=file).secure_boot) == ("pd-ssd", False)
    assert (job().boot_disk_type, job().secure_boot) == (None, None)


@pytest.mark.parametrize("empty", ["", " ", "\n"], ids=["empty", "space", "line feed"])
def test_empty_value_counts_as_unset(empty: str) -> None:
    assert job(env={"NB_TIMEOUT": empty}, file="timeout: 7").timeout == 7
    assert job(f"--timeout={empty}", file="timeout: 7").timeout == 7
    assert job(env={"NB_SCHEDULE": empty, "NB_TIMEOUTS": empty}).timeout == 2400


def test_an_empty_file_sets_nothing() -> None:
    assert load(file="# later\n") == load()


def test_null_in_the_file_counts_as_unset() -> None:
    assert job(file="timeout:\nkernel: null\n").timeout == 2400


@pytest.mark.parametrize(("word", "value"), [("true", True), ("FALSE", False), ("0", False), ("yes", True)])
def test_explicit_false_is_not_the_same_as_unset(word: str, *, value: bool) -> None:
    assert job(env={"NB_EXTERNAL_IP": word}, file="external_ip: true").external_ip is value


def test_bare_switch_means_true() -> None:
    assert load("--fail-fast").fail_fast is True
    assert load("--fail-fast", "false", env={"NB_FAIL_FAST": "true"}).fail_fast is False


def test_none_unsets_the_value_of_the_file() -> None:
    file = "machine_type: n1-standard-4\naccelerator: nvidia-tesla-t4\ncell_timeout: 10\n"
    assert job(file=file).accelerator == Accelerator("nvidia-tesla-t4", 1)
    taken = job(file=file, env={"NB_ACCELERATOR": "none", "NB_CELL_TIMEOUT": "None"})
    assert (taken.accelerator, taken.cell_timeout) == (None, None)


def test_file_alone_lists_notebooks_with_their_own_settings() -> None:
    file = f"""
gcs_location: gs://nb-test/ci
vm_service_account: {ACCOUNT}
notebooks:
  - one.ipynb
  - path: more/*.ipynb
    parameters: {{day: 2026-07-01, n: 3}}
    labels: {{version: 3}}
    zones: [us-east1-b, us-east1]
"""
    one, more = load(file=file, least=False).notebooks
    assert (one.origin, more.origin) == ("notebooks.yaml: notebooks[0]", "notebooks.yaml: notebooks[1]")
    assert one.options.parameters == {}
    assert more.options.parameters == {"day": "2026-07-01", "n": 3}
    assert (more.options.labels, more.options.zones) == ({"version": "3"}, ("us-east1-b", "us-east1"))


def test_environment_selects_notebooks_and_keeps_their_settings() -> None:
    file = "notebooks:\n- path: a.ipynb\n  timeout: 5\n- b.ipynb\n"
    options = load(env={"NB_NOTEBOOKS": "./a.ipynb\n*.ipynb, a.ipynb"}, file=file)
    assert [(entry.pattern, entry.options.timeout) for entry in options.notebooks] == [
        ("a.ipynb", 5),
        ("*.ipynb", 2400),
    ]
    glob = options.notebooks[1]
    assert options.options_for("a.ipynb", glob).timeout == 5
    assert options.options_for("c.ipynb", glob) is glob.options


def test_other_config_file() -> None:
    files = {"ci/nb.yaml": "timeout: 9\n", "notebooks.yaml": "timeout: x\n"}
    assert load_options(["--config", "ci/nb.yaml"], MINIMAL, files.get).notebooks[0].options.timeout == 9
    assert one_problem(env={"NB_CONFIG": "gone.yaml"}).variable == "NB_CONFIG"
    assert one_problem(env={"NB_CONFIG": "../nb.yaml"}).variable == "NB_CONFIG"


def problems_of_other_ending(error: ValueError) -> Sequence[Problem]:
    def read(name: str) -> str | None:
        if name == "notebooks.yml":
            raise error
        return None

    with pytest.raises(BadInput) as caught:
        load_options([], MINIMAL, read)
    return caught.value.problems


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        pytest.param(
            ["--notebooks", "a.ipynb", "--notebooks", "b.ipynb"], "--notebooks is 'b.ipynb'", id="text"
        ),
        pytest.param(["--fail-fast", "--fail-fast"], "--fail-fast is 'true'", id="switch"),
    ],
)
def test_a_flag_given_twice_is_a_mistake(flags: list[str], told: str) -> None:
    """The first value would be lost, and the run green without its notebooks."""
    with pytest.raises(BadInput) as caught:
        load_options(flags, MINIMAL, lambda _name: None)
    (problem,) = caught.value.problems
    assert str(problem) == f"{told}: is given twice; several values need commas between them"


def test_another_ending_is_refused_by_name() -> None:
    with pytest.raises(BadInput) as caught:
        load_options([], MINIMAL, {"notebooks.yml": "timeout: 9\n"}.get)
    (problem,) = caught.value.problems
    assert problem.variable == "notebooks.yml"
    assert "rename it to notebooks.yaml" in problem.expected
    (problem,) = problems_of_other_ending(UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid"))
    assert str(problem) == "notebooks.yml: cannot be read: it is no UTF-8 text"
    both = {"notebooks.yaml": "timeout: 9\n", "notebooks.yml": "timeout: 8\n"}
    assert load_options([], MINIMAL, both.get).notebooks[0].options.timeout == 9


@pytest.mark.parametrize(
    ("file", "variable", "expected"),
    [
        pytest.param(
            "- a",
            "notebooks.yaml",
            "expected options with values, such as machine_type: e2-standard-8",
            id="list for a mapping",
        ),
        pytest.param(
            "a: [", "notebooks.yaml line 1, column 5", "this bracket is not closed", id="no valid YAML"
        ),
        pytest.param(
            "\ntimeuot: 1",
            "notebooks.yaml line 2: timeuot",
            "no such option; did you mean timeout?",
            id="misspelt option",
        ),
        pytest.param(
            "NB_TIMEOUT: 1",
            "notebooks.yaml line 1: NB_TIMEOUT",
            "no such option; did you mean timeout?",
            id="variable's name",
        ),
        pytest.param("zzz: 1", "notebooks.yaml line 1: zzz", "no such option", id="unknown option"),
        pytest.param("path: a", "notebooks.yaml line 1: path", "no such option", id="option of a notebook"),
        pytest.param(
            "config: a",
            "notebooks.yaml line 1: config",
            "cannot be set in the file itself",
            id="option of the command line",
        ),
        pytest.param(
            "timeout: 1\ntimeout: 2",
            "notebooks.yaml line 2, column 1",
            "this is already on line 1",
            id="key given twice",
        ),
        pytest.param(
            "timeout: 1.5",
            "notebooks.yaml line 1: timeout",
            "expected seconds as a whole number",
            id="fraction for seconds",
        ),
        pytest.param(
            "notebooks: []",
            "notebooks.yaml line 1: notebooks",
            "expected at least one notebook",
            id="no notebooks",
        ),
        pytest.param(
            "notebooks: {a: b}",
            "notebooks.yaml line 1: notebooks",
            "expected a list",
            id="mapping for notebooks",
        ),
        pytest.param(
            "notebooks:\n- timeout: 1",
            "notebooks.yaml line 2: notebooks[0]",
            "expected a path",
            id="notebook without a path",
        ),
        pytest.param(
            "notebooks:\n- {}", "notebooks.yaml: notebooks[0]", "expected a path", id="empty notebook"
        ),
        pytest.param(
            "notebooks:\n- a\n",
            "notebooks.yaml line 1: notebooks[0]",
            "expected a path that ends with .ipynb",
            id="path of no notebook",
        ),
        pytest.param(
            "notebooks:\n- [a]\n",
            "notebooks.yaml line 1: notebooks[0]",
            "expected text",
            id="list for a path",
        ),
        pytest.param(
            "notebooks:\n- path: a.ipynb\n- path: ./a.ipynb",
            "notebooks.yaml line 3: notebooks[1].path",
            "listed already",
            id="notebook listed twice",
        ),
        pytest.param(
            "notebooks:\n- path: a.ipynb\n  concurrency: 3",
            "notebooks.yaml line 3: notebooks[0].concurrency",
            "belongs at the top of the file",
            id="option of the top",
        ),
    ],
)
def test_mistake_in_the_file_names_its_line(file: str, variable: str, expected: str) -> None:
    problem = one_problem(file=file)
    assert problem.variable == variable
    assert problem.expected.startswith(expected)


def test_mistake_in_an_entry_that_is_not_selected_is_reported_too() -> None:
    problem = one_problem(
        file="notebooks:\n- path: z.ipynb\n  machine_type: g2-standard-4\n  boot_disk_gb: 10\n"
    )
    assert problem == Problem(
        "notebooks.yaml line 4: notebooks[0].boot_disk_gb", "10", "at least 40 GB for a machine with a GPU"
    )


def test_unreadable_config_file() -> None:
    def refuse(_: str) -> str:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(BadInput, match=r"notebooks\.yaml: cannot be read: Permission denied"):
        load_options([], MINIMAL, refuse)


def test_everything_required_is_asked_for_at_once() -> None:
    assert [line.split(":")[0] for line in problems(least=False)] == [
        "NB_VM_SERVICE_ACCOUNT",
        "NB_GCS_LOCATION",
        "NB_NOTEBOOKS",
    ]


def test_a_plan_needs_no_account_for_its_vms() -> None:
    asked = [line.split(":")[0] for line in problems("plan", least=False)]
    assert asked == ["NB_GCS_LOCATION", "NB_NOTEBOOKS"]


def test_an_invalid_option_is_not_reported_as_missing_too() -> None:
    env = {"NB_NOTEBOOKS": "a.txt", "NB_GCS_LOCATION": "s3://b", "NB_VM_SERVICE_ACCOUNT": "default"}
    assert [line.split(" ")[0] for line in problems(env=env)] == sorted(env)


def test_all_mistakes_of_all_places_are_reported_together() -> None:
    lines = problems(
        "--max-attempts=0",
        "--nonsense",
        env={"NB_ZONES": "us, moon1-a,us-east1-b", "NB_TIMEOUT": "soon", "NB_TOPIC": "t"},
        file="timeout: never\nnotebooks:\n- path: x.ipynb\n  kernels: r\n",
    )
    starts = [line.split(":")[0] for line in lines]
    assert starts == [
        "--nonsense",
        "NB_TIMEOUT is 'soon'",
        "NB_TOPIC is 't'",
        "NB_ZONES is 'us'",
        "NB_ZONES is 'moon1-a'",
        "--max-attempts is '0'",
        "notebooks.yaml line 4",
        "notebooks.yaml line 1",
    ]


def test_same_mistake_for_several_notebooks_is_reported_once() -> None:
    problem = one_problem(env={"NB_NOTEBOOKS": "a.ipynb,b.ipynb", "NB_ACCELERATOR": "nvidia-tesla-t4"})
    assert problem.variable == "NB_ACCELERATOR"


@pytest.mark.parametrize(
    ("name", "meant"), [("NB_TIMEOUTS", "NB_TIMEOUT"), ("NB_ZONE", "NB_ZONES"), ("NB_LABLES", "NB_LABELS")]
)
def test_misspelled_variable_is_a_mistake(name: str, meant: str) -> None:
    assert one_problem(env={name: "1"}) == Problem(name, "", f"no such option; did you mean {meant}?")


def test_unknown_variable_is_a_warning_unless_jupyter_sets_it() -> None:
    options = load(
        env={
            "NB_SOMETHING": "1",
            "NB_USER": "jovyan",
            "NB_UID": "1",
            "NB_GID": "1",
            "NB_UMASK": "2",
            "NOT": "1",
        }
    )
    assert options.warnings == ("NB_SOMETHING is set, but there is no such option; it is ignored.",)
    assert "\x1b" not in load(env={"NB_\x1b[31mSOMETHING": "1"}).warnings[0]


@pytest.mark.parametrize("value", ["spot", "spot-then-standard", "standard"])
def test_ways_of_provisioning(value: str) -> None:
    assert job(env={"NB_PROVISIONING": value}).provisioning == value


def test_another_way_of_provisioning_is_a_mistake() -> None:
    expected = "expected standard, spot or spot-then-standard"
    assert one_problem(env={"NB_PROVISIONING": "SPOT"}) == Problem("NB_PROVISIONING", "SPOT", expected)


def test_wrong_command_line() -> None:
    assert one_problem("rnu").expected.endswith("did you mean run?")
    assert one_problem("--machinetype", "x").expected == "no such flag; did you mean --machine-type?"
    assert one_problem("a.ipynb").variable == "command"
    assert one_problem("run", "a.ipynb").expected.endswith("notebooks go into --notebooks")
    assert one_problem("--timeout=--").value == "--"
    assert one_problem("--timeout").variable == "--timeout"
    assert one_problem("run", "--help=x").variable
    assert one_problem("plan", "--format", "xml").expected == "expected one of text, json"
    assert one_problem("run", "--format", "json").variable == "--format"


def test_flag_without_value_does_not_make_others_missing() -> None:
    assert len(problems("--gcs-location", least=False)) == 1


def test_formats() -> None:
    assert load("plan", "--format=json").format == "json"
    assert load("options", "--format", "json-schema").format == "json-schema"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_flags_and_leaves_with_0(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load_options([command, "--help"], {}, lambda _: None)
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert f"notebook-builder {command}" in printed
    assert ("--machine-type" in printed) == (command in PLANNING)
    assert "--changed-only" not in printed


def test_options_command_needs_nothing_and_minds_nothing() -> None:
    options = load_options(["options"], {"NB_TIMEOUT": "x", "PROJECT_ID": "!"}, lambda _: "][")
    assert (options.command, options.format, options.notebooks) == ("options", "text", ())


def test_reap_needs_no_options() -> None:
    options = load_options(["reap"], {"NB_TIMEOUT": "x", "PROJECT_ID": "my-project-1"}, lambda _: "][")
    assert (options.command, options.project) == ("reap", "my-project-1")
    with pytest.raises(BadInput, match="PROJECT_ID"):
        load_options(["reap"], {"PROJECT_ID": "!"}, lambda _: None)


def test_cloud_build_substitutions() -> None:
    env = {
        "PROJECT_ID": "my-project",
        "BUILD_ID": "6b1f0c4e-0000-4000-8000-000000000000",
        "BRANCH_NAME": "a\u200bb",  # not used, so it ends no run
    }
    options = load(
        env=env | {"GOOGLE_CLOUD_PROJECT": "other-project", "LOCATION": "europe-west4", "COMMIT_SHA": ""}
    )
    assert (options.project, options.run_id) == ("my-project", env["BUILD_ID"])
    assert (options.build.commit_sha, options.build.location) == (None, "europe-west4")
    assert options.notebooks[0].options.zones == ("europe-west4",)
    assert load(env=env | {"NB_RUN_ID": "mine"}).run_id == "mine"
    assert load(env={"GOOGLE_CLOUD_PROJECT": "other-project"}).project == "other-project"
    assert job(env={"LOCATION": "global"}).zones == ("us-central1",)
    assert one_problem(env={"BUILD_ID": "Not an id"}).variable == "BUILD_ID"
    assert one_problem(env={"COMMIT_SHA": "a\x00b"}).variable == "COMMIT_SHA"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        pytest.param(
            "https://compute.example.com/compute/v1/",
            "https://compute.example.com",
            id="version path and slash",
        ),
        ("https://compute.example.com/v1", "https://compute.example.com"),
        pytest.param(
            "https://proxy.example.com/google/compute/v1/",
            "https://proxy.example.com/google",
            id="proxy with a path",
        ),
        ("http://[::1]:80/compute/beta/", "http://[::1]:80"),
    ],
)
def test_endpoints_with_or_without_gclouds_version_path(given: str, wanted: str) -> None:
    assert load(env={"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": given}).endpoints == {"compute": wanted}


@pytest.mark.parametrize(
    "given", ["localhost:80", "ftp://x/", "http://u:p@host/", "http://host/?a=b", "http://ho st"]
)
def test_wrong_endpoint(given: str) -> None:
    assert one_problem(env={"CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": given}).variable.endswith("STORAGE")


def test_image_and_family_exclude_each_other_in_one_place_only() -> None:
    assert "excludes" in one_problem(env={"NB_IMAGE": "img", "NB_IMAGE_FAMILY": "fam"}).expected
    assert "excludes" in one_problem(file="image: img\nimage_family: fam\n").expected
    above = job(env={"NB_IMAGE": "img"}, file="image_family: fam\n")
    assert (above.image, above.image_family) == ("img", None)
    above = job(env={"NB_IMAGE_FAMILY": "fam"}, file="image: img\n")
    assert (above.image, above.image_family) == (None, "fam")


def test_subnetwork_alone_brings_its_own_network_and_region() -> None:
    assert (job(env={"NB_SUBNETWORK": "sub"}).network, job(env={"NB_SUBNETWORK": "sub"}).subnetwork) == (
        None,
        "sub",
    )
    env = {"NB_SUBNETWORK": "projects/my-host/regions/us-east1/subnetworks/sub"}
    assert "is in us-east1" in one_problem(env=env).expected
    assert job(env=env | {"NB_ZONES": "us-east1-b"}).subnetwork == env["NB_SUBNETWORK"]


@pytest.mark.parametrize(
    ("machine", "gpu", "hint"),
    [
        ("e2-standard-4", "nvidia-tesla-t4:1", "n1-standard-4"),
        ("g2-standard-4", "nvidia-l4:1", "NB_MACHINE_TYPE"),
        ("g2-standard-4", "nvidia-tesla-t4:1", "built in"),
        ("n1-standard-4", "nvidia-l4", "g2-standard-4"),
        ("n1-standard-4", "nvidia-t4", "nvidia-tesla-t4"),
        ("n1-standard-4", "nvidia-tesla-t4:8", "1, 2, 4"),
        ("n1-standard-4", "nvidia-tesla-t4:3", "1, 2, 4 or 8"),
    ],
)
def test_gpu_that_does_not_go_with_its_machine(machine: str, gpu: str, hint: str) -> None:
    assert hint in one_problem(env={"NB_MACHINE_TYPE": machine, "NB_ACCELERATOR": gpu}).expected


@pytest.mark.parametrize(
    ("gpu", "counts"),
    [
        ("nvidia-tesla-t4", "1, 2, 4"),
        ("nvidia-tesla-t4-vws", "1, 2, 4"),
        ("nvidia-tesla-p4", "1, 2, 4"),
        ("nvidia-tesla-p100", "1, 2, 4"),
        ("nvidia-tesla-v100", "1, 2, 4, 8"),
    ],
)
def test_an_attached_gpu_comes_in_certain_numbers(gpu: str, counts: str) -> None:
    env = {"NB_MACHINE_TYPE": "n1-standard-4"}
    for count in ("1", "2", "4", "8"):
        given = env | {"NB_ACCELERATOR": f"{gpu}:{count}"}
        if count in counts.split(", "):
            assert job(env=given).accelerator == Accelerator(gpu, int(count))
        else:
            assert one_problem(env=given).expected == f"expected a count of {counts} for this GPU"


@pytest.mark.parametrize(
    "env",
    [
        pytest.param(
            {"NB_MACHINE_TYPE": "n1-standard-4", "NB_ACCELERATOR": "nvidia-tesla-v100:8"}, id="N1 with GPUs"
        ),
        pytest.param({"NB_MACHINE_TYPE": "a2-highgpu-1g"}, id="A2"),
    ],
)
def test_gpu_machines_need_40_gb(env: dict[str, str]) -> None:
    assert job(env=env | {"NB_BOOT_DISK_GB": "40"}).boot_disk_gb == 40
    assert one_problem(env=env | {"NB_BOOT_DISK_GB": "39"}).variable == "NB_BOOT_DISK_GB"
    assert job(env={"NB_BOOT_DISK_GB": "39"}).boot_disk_gb == 39


@pytest.mark.parametrize(
    ("env", "wrong"),
    [
        pytest.param(
            {"NB_MACHINE_TYPE": "!", "NB_BOOT_DISK_GB": "10", "NB_BOOT_DISK_TYPE": "pd-ssd"},
            "NB_MACHINE_TYPE",
            id="machine type of a disk",
        ),
        pytest.param(
            {"NB_MACHINE_TYPE": "g2-standard-4", "NB_BOOT_DISK_GB": "?"},
            "NB_BOOT_DISK_GB",
            id="size of a disk",
        ),
        pytest.param(
            {"NB_TIMEOUT": "10000000", "NB_BOOT_TIMEOUT": "?"}, "NB_BOOT_TIMEOUT", id="time to boot"
        ),
        pytest.param(
            {"NB_PARAMETERS": "{a: *b}", "NB_SCHEDULE_PARAMETERS": ""}, "NB_PARAMETERS", id="parameters"
        ),
        pytest.param(
            {"NB_ZONES": "?", "NB_SUBNETWORK": "projects/my-host/regions/us-east1/subnetworks/s"},
            "NB_ZONES",
            id="zones of a subnetwork",
        ),
        pytest.param(
            {"NB_ENV": "?", "NB_SECRETS": "A=projects/my-project/secrets/a/versions/1"},
            "NB_ENV",
            id="variables",
        ),
    ],
)
def test_what_depends_on_a_wrong_option_is_no_second_mistake(env: dict[str, str], wrong: str) -> None:
    assert one_problem(env=env).variable.startswith(wrong)


def test_vm_may_live_for_120_days() -> None:
    longest = 120 * 24 * 3600 - 900 - 600  # what is stored and the server's lateness; the boot
    assert job(env={"NB_TIMEOUT": str(longest)}).timeout == longest
    assert one_problem(env={"NB_TIMEOUT": str(longest + 1)}).variable == "NB_TIMEOUT"


def test_cell_limit_that_never_acts_is_a_warning() -> None:
    assert load(env={"NB_CELL_TIMEOUT": "3000"}).warnings
    assert not load(env={"NB_CELL_TIMEOUT": "2400"}).warnings


def test_long_values_are_cut_in_messages() -> None:
    problem = one_problem(env={"NB_PARAMETERS": "x" * 500})
    assert len(problem.value) == 80
    assert len(one_problem(file="parameters: [" + "secret, " * 50 + "]").value) == 80


@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: o.name)
@pytest.mark.parametrize(
    "value",
    ["a\x00b", "\udcff", "\x1b[31m", "\u202egnp"],
    ids=["null byte", "not UTF-8", "escape sequence", "right-to-left override"],
)
def test_bytes_that_no_option_takes(option: object, value: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(env={option.env: value})  # type: ignore[attr-defined]  # an Option
    str(caught.value).encode()
    assert option.env in str(caught.value)  # type: ignore[attr-defined]


def test_table_and_dataclass_have_the_same_job_options() -> None:
    declared = {option.name for option in OPTIONS if option.scope == "job"}
    assert declared == {field.name for field in fields(JobOptions)}


def test_import_is_light() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import builder.options; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "yaml",
        "json",
        "google",
        "urllib.request",
        "logging",
        "tenacity",
        "nbformat",
        "asyncio",
    }


# -- deploying ------------------------------------------------------------------------------------------------------

DEPLOY = {"NB_GCS_LOCATION": "gs://bucket/x", "NB_FUNCTION": "nightly"}


def test_options_of_deploy_may_be_in_the_file_and_the_message_says_so() -> None:
    found = one_problem("deploy")
    assert found.variable == "NB_FUNCTION"
    assert found.expected == "is required, such as demo-notebook, or `function:` in notebooks.yaml"


def test_a_rollback_ignores_mistakes_in_the_notebooks_settings() -> None:
    broken = "function: nightly\ntimeout: soon\nnotebooks:\n  - path: gone.ipynb\n    machine_type: '!'\n"
    options = load_options(["deploy", "--rollback"], {"NB_GCS_LOCATION": "gs://bucket/x"}, lambda _: broken)
    assert (options.action, options.notebooks) == ("rollback", ())
    assert options.deployment is not None
    assert options.deployment.function == "nightly"
    with pytest.raises(BadInput, match="NB_TOPIC"):
        load_options(["deploy", "--rollback"], {**DEPLOY, "NB_TOPIC": "-"}, lambda _: None)


def test_a_deployment_minds_mistakes_in_the_notebooks_settings() -> None:
    assert (
        one_problem("deploy", env=DEPLOY, file="timeout: soon").variable == "notebooks.yaml line 1: timeout"
    )


@pytest.mark.parametrize("action", ["--status", "--rollback", "--undeploy"])
def test_an_action_of_deploy_asks_for_what_it_reads(action: str) -> None:
    asked = [line.split(":")[0] for line in problems("deploy", action, least=False)]
    assert asked == ["NB_GCS_LOCATION", "NB_FUNCTION"]


def test_a_backfill_has_a_range_of_days_of_at_most_a_year() -> None:
    options = load("deploy", "--backfill", "2018-04-01..2018-04-03", env=DEPLOY)
    assert options.action == DayRange(date(2018, 4, 1), date(2018, 4, 3))
    assert str(options.action) == "2018-04-01..2018-04-03"
    assert [day.day for day in options.action] == [1, 2, 3]
    one = load("deploy", "--backfill", "2018-04-01..2018-04-01", env=DEPLOY).action
    assert one == DayRange(date(2018, 4, 1), date(2018, 4, 1))
    year = load("deploy", "--backfill=2020-01-01..2020-12-31", env=DEPLOY).action
    assert isinstance(year, DayRange)
    assert len(list(year)) == 366


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param("", "expected FROM..TO, such as 2018-04-01..2018-04-30", id="empty"),
        pytest.param("status", "expected FROM..TO, such as 2018-04-01..2018-04-30", id="another action"),
        pytest.param("2018-04-01", "expected FROM..TO, such as 2018-04-01..2018-04-30", id="one day"),
        pytest.param("2018-04-01..", "expected FROM..TO, such as 2018-04-01..2018-04-30", id="no end"),
        pytest.param(
            "2018-04-01...2018-04-02", "expected FROM..TO, such as 2018-04-01..2018-04-30", id="three dots"
        ),
        pytest.param(
            "2018-02-29..2018-03-01", "expected FROM..TO, such as 2018-04-01..2018-04-30", id="no such day"
        ),
        pytest.param(
            "20180401..20180402", "expected FROM..TO, such as 2018-04-01..2018-04-30", id="no dashes"
        ),
        pytest.param(
            "2018-04-02..2018-04-01", "expected FROM..TO, but 2018-04-01 is before 2018-04-02", id="backwards"
        ),
        pytest.param(
            "2019-01-01..2020-01-02", "expected at most 366 days, and these are 367", id="over a year"
        ),
    ],
)
def test_a_wrong_range_of_days_names_its_flag(days: str, expected: str) -> None:
    found = one_problem("deploy", "--backfill", days, env=DEPLOY)
    assert (found.variable, found.value, found.expected) == ("--backfill", days, expected)


def test_a_backfill_is_the_only_action() -> None:
    found = one_problem("deploy", "--status", "--backfill", "2018-04-01..2018-04-03")
    assert found.expected.startswith("not allowed with argument --status")


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        pytest.param("0 6 * *", "expected five fields as cron has them", id="four fields"),
        pytest.param(
            "0 6 * * 8", "such as 0 6 * * 1 or 30 5 1 JAN,JUL *: bad day-of-week", id="bad day of the week"
        ),
        pytest.param("61 6 * * 1", "bad minute", id="bad minute"),
        pytest.param("0 6 30 2 *", "bad day-of-month", id="bad day of the month"),
        pytest.param("0 6 31 2,4 *", "bad day-of-month", id="bad day of two months"),
    ],
)
def test_mistakes_in_a_schedule_are_reported(schedule: str, told: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_options(["deploy", "--status"], {**DEPLOY, "NB_SCHEDULE": schedule}, lambda _: None)
    assert told in caught.value.message


@pytest.mark.parametrize("name", ["Europe/Pariss", "Europe", "../UTC"])
def test_an_unknown_time_zone_is_a_mistake(name: str) -> None:
    expected = "expected a time zone of the tz database, such as Europe/Paris"
    assert one_problem(env={"NB_TIME_ZONE": name}) == Problem("NB_TIME_ZONE", name, expected)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param("noon", "expected a time such as 2018-04-01T06:00:00Z", id="no time"),
        pytest.param(
            "2018-04-01T06:00:00",
            "expected a time with its offset, such as 2018-04-01T06:00:00Z",
            id="no offset",
        ),
    ],
)
def test_an_events_time_that_is_no_moment_is_a_mistake(time: str, expected: str) -> None:
    found = one_problem(env={"NB_EVENT": "{}", "NB_EVENT_ID": "1", "NB_EVENT_TIME": time})
    assert found == Problem("NB_EVENT_TIME", time, expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            '{"start": ["{today}", {"of": "{tody}"}]}', "in parameter start: expected {today}", id="nested"
        ),
        pytest.param('{"start": "{today:%H}"}', "in parameter start: %H is no part of a day", id="hour"),
        pytest.param('{"matrix": {"a": [1]}}', "a schedule gives single values", id="matrix"),
    ],
)
def test_a_mistake_in_the_parameters_of_a_schedule_is_named(given: str, expected: str) -> None:
    assert one_problem(env={"NB_SCHEDULE_PARAMETERS": given}).expected.startswith(expected)


def test_an_event_is_no_option_of_a_deployment() -> None:
    found = one_problem("deploy", env={"NB_FUNCTION": "nightly", "NB_EVENT": "{}"})
    assert found == Problem("NB_EVENT", "{}", "is only for run and plan; deploy takes no event")


def test_the_log_of_a_boot_has_one_format() -> None:
    assert one_problem("check", "--boot", "--format=json").variable == "--boot"


def test_a_flag_that_takes_no_value_refuses_one() -> None:
    assert one_problem("check", "--boot=yes").expected.startswith("ignored explicit argument 'yes'")


def test_the_builders_image_has_a_default_in_the_region() -> None:
    deployment = load("deploy", env=DEPLOY).deployment
    assert deployment is not None
    own = "us-central1-docker.pkg.dev/example.com/my-project/notebook-builder/notebook-builder:"
    assert deployment.image_in("example.com:my-project").startswith(own)
    other = "europe-docker.pkg.dev/others/tools/builder:1"
    assert replace(deployment, builder_image=other).image_in("my-project") == other


def test_a_templates_text_is_shown_where_it_is_wrong() -> None:
    found = one_problem(env={"NB_SCHEDULE_PARAMETERS": '{"start": "from {tody-7d}"}'})
    assert found.value == "from {tody-7d}"
    assert found.expected.startswith("in parameter start: expected {today}, {today-7d}")


@pytest.mark.parametrize(
    "given",
    [{"NB_SCHEDULE": "0 6 * * 1"}, {"NB_SCHEDULE_PARAMETERS": '{"a": "{today}"}'}],
    ids=["schedule", "parameters"],
)
def test_a_schedule_without_a_function_is_reported_before_any_vm_starts(given: dict[str, str]) -> None:
    warning = "there is a schedule, but no function: `deploy` will require NB_FUNCTION."
    assert load(env=given).warnings == (warning,)
    assert load(env={**given, "NB_FUNCTION": "nightly"}).warnings == ()


OTHER_FOLDERS = (
    "versions/2026-11-28",
    "versions/<date>",
    "versions/<run>",
    "results",
    "results/another-run",
    "results/another-run/<run>",
    "results/<date>",
    "results/<run>/../another-run",
    "results/<run>/..",
    "results/<run>/.",
    "results/../versions/2026-11-28",
    "results/<run>/%2e%2e/another-run",
    "results/<run>%2f..%2fanother-run",
    "results/<run>/\uff0e\uff0e/another-run",
    "results\\<run>",
    "results/<RUN>",
    " /results/<run>",
    "/results/<run>",
    "results//<run>",
    "live/function",
    "proofs/<run>",
    "locks/<run>",
    "gs://nb-test/ci/versions/2026-11-28",
)


@pytest.mark.parametrize("folder", OTHER_FOLDERS, ids=[f"folder {n}" for n in range(len(OTHER_FOLDERS))])
@pytest.mark.parametrize("source", ["notebooks.yaml", "variable", "flag"])
def test_no_source_sends_results_out_of_the_runs_own_folder(source: str, folder: str) -> None:
    given: dict[str, Mapping[str, object]] = {
        "notebooks.yaml": {"file": f"output: {json.dumps(folder)}"},
        "variable": {"env": {"NB_OUTPUT": folder}},
        "flag": {"argv": ("run", "--output", folder)},
    }
    chosen = dict(given[source])
    with pytest.raises(BadInput) as caught:
        load(*chosen.pop("argv", ()), **chosen)  # type: ignore[misc, arg-type]
    assert caught.value.exit_code == 2
    (problem,) = caught.value.problems
    assert "expected results/<run> or a folder below it" in problem.expected


@pytest.mark.parametrize("key", ["event", "event_id", "event_time"])
def test_a_repositorys_file_makes_no_run_a_scheduled_one(key: str) -> None:
    """A run of an event writes the day's folder, so only the environment and a flag may bring one."""
    with pytest.raises(BadInput) as caught:
        load(env={"NB_EVENT": "{}"}, file=f'{key}: "2"')
    assert [problem.variable for problem in caught.value.problems] == [f"notebooks.yaml line 1: {key}"]
