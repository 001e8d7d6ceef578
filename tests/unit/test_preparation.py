"""Tests the preparation of a notebook: variables, a set-up script, requirements; read, planned and staged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from builder.act.staging import prepare as staged_input_of
from builder.errors import BadInput, Problem
from builder.options import Options
from builder.plan.build_plan import JobPlan, build_plan, describe
from builder.plan.choose import choose
from builder.plan.event import RunRequest
from builder.plan.packing import pack
from builder.plan.requirements_file import Requirements, read_requirements
from builder.plan.workspace import Workspace
from builder.report.plan import plan_lines
from builder.vm.protocol import CaBundle, Job
from tests.loading import load_options
from tests.unit.git_repo import git, repository, write
from tests.unit.good_attempt import code, notebook_json

REQUEST = RunRequest(date(2026, 7, 1), date(2026, 7, 1))
ACCOUNT = "notebook-vm@local-project.iam.gserviceaccount.com"
MINIMAL = {
    "NB_NOTEBOOKS": "books/a.ipynb",
    "NB_GCS_LOCATION": "gs://nb-test/ci",
    "NB_VM_SERVICE_ACCOUNT": ACCOUNT,
}
BOOK = json.dumps(notebook_json(code(0, "1")))


def load(env: Mapping[str, str] | None = None, file: str = "") -> Options:
    return load_options([], {**MINIMAL, **(env or {})}, {"notebooks.yaml": file or None}.get)


def problem(env: Mapping[str, str] | None = None, file: str = "") -> Problem:
    with pytest.raises(BadInput) as caught:
        load(env, file)
    (one,) = caught.value.problems
    return one


# --- NB_ENV


def test_variables_are_text_or_a_mapping() -> None:
    assert load({"NB_ENV": "STAGE=test, EMPTY=,_X1=a=b"}).notebooks[0].options.env == {
        "STAGE": "test",
        "EMPTY": "",
        "_X1": "a=b",
    }
    file = 'env: {A: 1, LIST: "a,b"}\nnotebooks:\n- path: books/a.ipynb\n  env: {B: x}\n'
    assert load(file=file).notebooks[0].options.env == {"B": "x"}
    assert load(file="env: {A: 1, LIST: 'a,b'}").notebooks[0].options.env == {"A": "1", "LIST": "a,b"}
    assert load({"NB_ENV": "PYTHONHASHSEED=0"}).warnings == ()


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "TMPDIR", "NB_OUTPUT_DIR", "NB_ANYTHING", "JUPYTER_PATH", "PAPERMILL_X", "PYTHONPATH", "PYTHONHOME", "PYTHONOPTIMIZE", "PYTHONSTARTUP", "LD_PRELOAD", "GCE_METADATA_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "IPYTHONDIR"],
)  # fmt: skip
def test_variables_of_others_are_refused(name: str) -> None:
    told = problem({"NB_ENV": f"STAGE=test,{name}=hidden"})
    assert (told.variable, told.value) == ("NB_ENV", name)
    assert "belongs to the machine" in told.expected


@pytest.mark.parametrize(
    "name", ["1A", "a-b", "A B", "", "Ä"], ids=["leading digit", "dash", "space", "empty", "not ASCII"]
)
def test_a_variable_needs_a_name(name: str) -> None:
    told = problem({"NB_ENV": f"{name}=hidden"})
    assert "a variable's name" in told.expected
    assert "hidden" not in str(told)


@pytest.mark.parametrize(
    "text",
    ["STAGE=test,HOSTS=one,hidden", "HOSTS=one, hidden,B=1", "HOSTS=one\nhidden"],
    ids=["last", "first", "line"],
)
def test_a_value_with_a_comma_belongs_into_the_file(text: str) -> None:
    told = problem({"NB_ENV": text})
    assert (told.variable, told.value) == ("NB_ENV", "HOSTS")
    assert told.expected.endswith('notebooks.yaml, such as env: {HOSTS: "a.example,b.example"}')
    assert "hidden" not in str(told)


def test_the_first_part_without_an_equals_sign_is_no_rest_of_a_value() -> None:
    assert problem({"NB_ENV": "STAGE"}).expected == "expected key=value"


def test_a_wrong_value_is_not_repeated() -> None:
    told = problem(file="env: {A: [hidden]}")
    assert (told.value, "hidden" in str(told)) == ("A", False)


@pytest.mark.parametrize(
    ("name", "secret"),
    [("API_TOKEN", True), ("DB_PASSWORD", True), ("MY_SECRET", True), ("MAP_KEY", True), ("apikey", True), ("TOKENIZERS_PARALLELISM", False), ("MONKEY", False), ("KEYBOARD", False), ("STAGE", False)],
)  # fmt: skip
def test_names_that_sound_secret_are_warned_of(name: str, *, secret: bool) -> None:
    warnings = load({"NB_ENV": f"{name}=hidden"}).warnings
    assert bool(warnings) is secret
    assert all(name in text and "NB_SECRETS" in text and "hidden" not in text for text in warnings)


# --- NB_INDEX_URL


@pytest.mark.parametrize(
    "url",
    ["https://packages.example.com/simple", "https://h:8443/", "http://127.0.0.1:8080/simple", "http://localhost/x", "http://[::1]:1/"],
)  # fmt: skip
def test_an_index_is_https_or_on_this_machine(url: str) -> None:
    assert load({"NB_INDEX_URL": url}).notebooks[0].options.index_url == url


@pytest.mark.parametrize(
    "url",
    ["http://packages.example.com/simple", "ftp://h/x", "packages.example.com", "https://", "https://h/x?a=b", "https://h/x#y", "http://127.0.0.1.example.com/", "https://h:99999/", "https://[::1", "file:///x", "https://h/a b"],
)  # fmt: skip
def test_other_indexes_are_refused(url: str) -> None:
    assert "https://" in problem({"NB_INDEX_URL": url}).expected


@pytest.mark.parametrize(
    "url", ["https://me:hidden@h/simple", "http://hidden@127.0.0.1/", "https://:hidden@h/"]
)
def test_credentials_are_neither_taken_nor_printed(url: str) -> None:
    told = problem({"NB_INDEX_URL": url})
    assert "Artifact Registry" in told.expected
    assert "hidden" not in str(told)


# --- requirements files


def read(files: Mapping[str, str], path: str = "requirements.txt", *, only_index: bool = False) -> Any:
    def text(wanted: str) -> str:
        if wanted not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[wanted]

    return read_requirements(path, text, only_index=only_index)


def test_lines_are_known_by_name_and_place() -> None:
    found = read(
        {
            "ci/requirements.txt": "\ufeff# head\n\nPandas[excel]>=2.2,<3 ; python_version > '3.8'  # why\n"
            "-r ../more.txt\n-c limits.txt\n--find-links wheels\nmy_lib @ https://example.com/l-1.zip#sha256=0\n"
            "./wheels/own-1-py3-none-any.whl\nlong\\\n>=1\nlast (==1)\n",
            "more.txt": "numpy",
            "ci/limits.txt": "six==1\n-r ../more.txt\n",
        },
        "ci/requirements.txt",
    )
    assert isinstance(found, Requirements)
    assert found.files == ("ci/requirements.txt", "more.txt", "ci/limits.txt")
    assert [(x.name, x.file, x.line) for x in found.lines] == [
        ("pandas", "ci/requirements.txt", 3),
        ("numpy", "more.txt", 1),
        ("my-lib", "ci/requirements.txt", 7),
        ("", "ci/requirements.txt", 8),
        ("long", "ci/requirements.txt", 9),
        ("last", "ci/requirements.txt", 11),
    ]
    assert found.lines[0].text == "Pandas[excel]>=2.2,<3 ; python_version > '3.8'"
    assert not found.require_hashes


def test_hashes_are_required_where_every_line_has_one() -> None:
    all_have = "a==1 \\\n    --hash=sha256:0 \\\n    --hash=sha256:1\nb==2 --hash=sha256:3\n"
    assert read({"requirements.txt": all_have}).require_hashes
    assert [line.text for line in read({"requirements.txt": all_have}).lines] == ["a==1", "b==2"]
    assert not read({"requirements.txt": all_have + "c==1\n"}).require_hashes
    assert not read({"requirements.txt": "# none\n"}).require_hashes


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        pytest.param(
            "ok\npandas=2\n", "requirements.txt line 2", "expected a requirement", id="one equals sign"
        ),
        pytest.param("two words\n", "requirements.txt line 1", "expected a requirement", id="two words"),
        pytest.param(
            "-r gone.txt\n", "requirements.txt line 1", "cannot be read: No such file", id="missing file"
        ),
        pytest.param(
            "-r ../../gone.txt\n",
            "requirements.txt line 1",
            "inside the repository",
            id="path that leads out",
        ),
    ],
)
def test_mistakes_are_reported_by_their_line(text: str, place: str, words: str) -> None:
    (told,) = read({"requirements.txt": text})
    assert told.variable == place
    assert words in told.expected


@pytest.mark.parametrize(
    "line", ["--index-url https://h/", "-i https://h", "--extra-index-url=https://h", "--no-index"]
)
def test_a_given_index_is_the_only_one(line: str) -> None:
    assert isinstance(read({"requirements.txt": f"{line}\na\n"}), Requirements)
    (told,) = read({"requirements.txt": f"a\n{line}\n"}, only_index=True)
    assert (told.variable, "NB_INDEX_URL is the only index" in told.expected) == (
        "requirements.txt line 2",
        True,
    )


# --- from options to job.json


def planned(folder: Path, file: str = "", **env: str) -> JobPlan:
    options = load(env, file)
    (job,) = build_plan(options, choose(options, Workspace(folder), REQUEST), REQUEST).jobs
    return job


def refused(folder: Path, **env: str) -> list[Problem]:
    with pytest.raises(BadInput) as caught:
        planned(folder, **env)
    return list(caught.value.problems)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = repository(tmp_path)
    write(folder, "other/data.txt")
    for name, text in {
        "books/a.ipynb": BOOK,
        "tools/setup.sh": "echo\n",
        "tools/r.txt": "-r base.txt\nb\n",
        "tools/base.txt": "a>=1\n",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


STEPS = {"NB_SETUP": "tools/setup.sh", "NB_REQUIREMENTS": "./tools/r.txt"}


def test_files_of_the_preparation_are_staged_from_any_folder(repo: Path) -> None:
    job = planned(repo, **STEPS)
    staged = [file.path for file in job.files]
    assert staged == ["books/a.ipynb", "tools/base.txt", "tools/r.txt", "tools/setup.sh"]


def test_the_vm_reads_the_planned_values(repo: Path, tmp_path: Path) -> None:
    more = {"NB_SETUP_TIMEOUT": "5", "NB_REQUIREMENTS_TIMEOUT": "7", "NB_INDEX_URL": "https://h/simple"}
    job = planned(repo, NB_ENV="STAGE=test", **STEPS, **more)
    options = load()
    archive = pack(job.files, tmp_path / "packed.tar.gz")
    staged_input = staged_input_of(job, archive, run="r", location=options.gcs_location)
    told = Job.decode(staged_input.job)
    assert told.env == {"STAGE": "test"}
    assert told.setup is not None
    assert told.requirements is not None
    assert (told.setup.path, told.setup.timeout) == ("tools/setup.sh", 5)
    wanted = told.requirements
    assert (wanted.path, wanted.timeout, wanted.index_url) == ("tools/r.txt", 7, "https://h/simple")
    assert [str(line) for line in wanted.lines] == ["tools/base.txt line 1 (a>=1)", "tools/r.txt line 2 (b)"]


def test_without_steps_nothing_is_asked_of_the_vm(repo: Path, tmp_path: Path) -> None:
    job = planned(repo)
    archive = pack(job.files, tmp_path / "packed.tar.gz")
    told = Job.decode(staged_input_of(job, archive, run="r", location=load().gcs_location).job)
    assert (told.env, told.setup, told.requirements) == ({}, None, None)


def test_the_steps_limits_count_where_the_steps_are_used(repo: Path) -> None:
    plain = planned(repo, NB_SETUP_TIMEOUT="50", NB_REQUIREMENTS_TIMEOUT="70")
    steps = planned(repo, NB_SETUP_TIMEOUT="50", NB_REQUIREMENTS_TIMEOUT="70", **STEPS)
    assert steps.limits.runner == plain.limits.runner + 120
    assert steps.limits.vm == plain.limits.vm + 120
    assert steps.worst_case_seconds == plain.worst_case_seconds + 3 * 120


def test_the_steps_limits_count_against_the_longest_life() -> None:
    longest = 120 * 24 * 3600 - 600 - 600 - 300
    env = {"NB_TIMEOUT": str(longest), "NB_SETUP_TIMEOUT": "50"}
    load(env)
    assert f"at most {longest - 50} seconds" in problem({**env, "NB_SETUP": "s.sh"}).expected


def test_the_plan_shows_them(repo: Path) -> None:
    options = load({"NB_ENV": "STAGE=test", **STEPS})
    plan = build_plan(options, choose(options, Workspace(repo), REQUEST), REQUEST)
    text = "\n".join(plan_lines(describe(plan, project="p", run="r")))
    assert "environment  STAGE\n" in text
    assert "set-up       tools/setup.sh, at most 10 min\n" in text
    assert "packages     tools/r.txt, at most 10 min\n" in text


PEM = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"


def test_a_file_of_certificates_is_staged_and_its_path_sent_to_the_vm(repo: Path, tmp_path: Path) -> None:
    (repo / "tools/proxy.pem").write_text(PEM)
    job = planned(repo, NB_CA_BUNDLE="tools/proxy.pem")
    assert [file.path for file in job.files] == ["books/a.ipynb", "tools/proxy.pem"]
    archive = pack(job.files, tmp_path / "packed.tar.gz")
    told = Job.decode(staged_input_of(job, archive, run="r", location=load().gcs_location).job)
    assert told.ca_bundle == CaBundle("tools/proxy.pem")


def test_an_object_of_certificates_is_named_to_the_vm(repo: Path, tmp_path: Path) -> None:
    job = planned(repo, NB_CA_BUNDLE="gs://my-bucket/certs/proxy.pem")
    archive = pack(job.files, tmp_path / "packed.tar.gz")
    told = Job.decode(staged_input_of(job, archive, run="r", location=load().gcs_location).job)
    assert told.ca_bundle == CaBundle("certs/proxy.pem", "my-bucket")


@pytest.mark.parametrize("given", ["tools/gone.pem", "tools/setup.sh", "tools"])
def test_a_file_without_a_certificate_is_bad_input(repo: Path, given: str) -> None:
    (told,) = refused(repo, NB_CA_BUNDLE=given)
    assert (told.variable, told.value) == ("NB_CA_BUNDLE", given)
    assert "expected a PEM file" in told.expected


@pytest.mark.parametrize("given", ["gs://my-bucket", "gs://my-bucket/", "gs://My/x.pem", "gs://my-bucket/a*"])
def test_an_object_of_certificates_has_a_bucket_and_a_name(given: str) -> None:
    assert "gs://BUCKET/OBJECT" in problem({"NB_CA_BUNDLE": given}).expected


def test_files_that_are_not_there_are_bad_input(repo: Path) -> None:
    told = refused(repo, NB_SETUP="tools/gone.sh", NB_REQUIREMENTS="pandas==2.2")
    assert [(one.variable, one.value) for one in told] == [
        ("NB_SETUP", "tools/gone.sh"),
        ("NB_REQUIREMENTS", "pandas==2.2"),
    ]
    assert "expected the path of a requirements file" in told[1].expected


@pytest.mark.parametrize("script", [b"#!/bin/sh\r\ntrue\r\n", b"set -e\r\n"], ids=["#!", "bash"])
def test_a_script_with_windows_line_ends_is_bad_input(repo: Path, script: bytes) -> None:
    (repo / "tools/setup.sh").write_bytes(script)
    (told,) = refused(repo, NB_SETUP="tools/setup.sh")
    assert (told.variable, told.value) == ("NB_SETUP", "tools/setup.sh")
    assert "save it with LF" in told.expected


def test_a_script_may_have_windows_line_ends_in_data(repo: Path) -> None:
    (repo / "tools/setup.sh").write_bytes(b"cat > rows.csv <<END\n1,2\r\nEND\n")
    assert planned(repo, NB_SETUP="tools/setup.sh").preparation.setup == "tools/setup.sh"


def test_files_in_outputs_are_never_staged(repo: Path) -> None:
    (repo / "books/outputs").mkdir()
    (repo / "books/outputs/r.txt").write_text("a\n")
    (told,) = refused(repo, NB_REQUIREMENTS="books/outputs/r.txt")
    assert "never staged" in told.expected


def test_paths_count_from_the_workspace_and_none_takes_back(repo: Path) -> None:
    options = load({"NB_NOTEBOOKS": "a.ipynb", "NB_SETUP": "prepare.sh"})
    (repo / "books/prepare.sh").write_text("echo\n")
    git(repo, "add", "--all")
    (job,) = build_plan(options, choose(options, Workspace(repo / "books"), REQUEST), REQUEST).jobs
    assert job.preparation.setup == "books/prepare.sh"
    assert load({"NB_SETUP": "none"}, "setup: x.sh").notebooks[0].options.setup is None
    assert problem({"NB_SETUP": "*.sh"}).expected == "expected the path of one file, not a glob"
