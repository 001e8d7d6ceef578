"""Values of options, one by one: what is accepted, as what, and what is refused."""

from __future__ import annotations

import pytest

from builder.model import Accelerator, Expectation, GcsLocation
from builder.options import google_names as names
from builder.options import values
from builder.options.values import Parser, Unfit
from builder.options.yaml_text import Lined, YamlMistake, read_data, read_yaml

LONG = "a" * 64


@pytest.mark.parametrize(
    ("parse", "given", "wanted"),
    [
        pytest.param(names.gcs_location, "gs://bucket", GcsLocation("bucket", ""), id="bucket"),
        pytest.param(names.gcs_location, "gs://bucket/", GcsLocation("bucket", ""), id="bucket with a slash"),
        pytest.param(
            names.gcs_location, "gs://my.bucket_1/a/b-c/", GcsLocation("my.bucket_1", "a/b-c"),
            id="bucket and prefix",
        ),
        (names.zone_or_region, "us-central1-a", "us-central1-a"),
        (names.zone_or_region, "northamerica-northeast1", "northamerica-northeast1"),
        (names.zone_or_region, "us-central1-ai1a", "us-central1-ai1a"),
        (names.machine_type, "n1-custom-4-16384-ext", "n1-custom-4-16384-ext"),
        (names.machine_type, "f1-micro", "f1-micro"),
        pytest.param(names.accelerator, "nvidia-tesla-t4", Accelerator("nvidia-tesla-t4", 1), id="accelerator"),
        pytest.param(
            names.accelerator, " nvidia-tesla-t4:2 ", Accelerator("nvidia-tesla-t4", 2),
            id="accelerator with a count",
        ),
        pytest.param(
            names.service_account, "1234-compute@developer.gserviceaccount.com", "1234-compute@developer.gserviceaccount.com",
            id="service account of Compute Engine",
        ),
        (names.service_account, "my-app@appspot.gserviceaccount.com", "my-app@appspot.gserviceaccount.com"),
        pytest.param(
            names.service_account, "vm@p.example.com.iam.gserviceaccount.com", "vm@p.example.com.iam.gserviceaccount.com",
            id="service account of a domain's project",
        ),
        (names.project, "example.com:my-project", "example.com:my-project"),
        (names.network, "global/networks/n", "global/networks/n"),
        pytest.param(names.subnetwork,
            "https://www.googleapis.com/compute/v1/projects/my-host/regions/us-east1/subnetworks/s",
            "https://www.googleapis.com/compute/v1/projects/my-host/regions/us-east1/subnetworks/s", id="subnetwork's address"),
        pytest.param(names.labels, "a=b, c_d=, e=1", {"a": "b", "c_d": "", "e": "1"}, id="labels"),
        pytest.param(names.labels, {"a": 1}, {"a": "1"}, id="labels as a mapping"),
        pytest.param(names.run_id, "0" * 63, "0" * 63, id="run id of 63 characters"),
        (names.run_id, "Run_1.2", "Run_1.2"),
        (names.output, "results/<run>", "results/<run>"),
        (names.output, "results/<run>/a.b/2026/", "results/<run>/a.b/2026"),
        (values.seconds(1, 100), "60s", 60),
        (values.seconds(1, 100), 60, 60),
        (values.boolean, 1, True),
        (values.boolean, "No", False),
        pytest.param(values.expectation, "outputs/*.csv", Expectation("outputs/*.csv", 1), id="expected file"),
        pytest.param(values.expectation, "a >= 1.5 KiB", Expectation("a", 1536), id="expected KiB"),
        pytest.param(values.expectation, "a>=0.0001KB", Expectation("a", 1), id="expected fraction of a KB"),
        pytest.param(values.expectation, "a>=0", Expectation("a", 0), id="expected 0 bytes"),
        pytest.param(values.expectation, "a>=2gb", Expectation("a", 2_000_000_000), id="expected GB"),
        pytest.param(
            values.notebook_pattern, "././dir/über [x] 1.ipynb", "dir/über [x] 1.ipynb",
            id="pattern with spaces",
        ),
        (values.notebook_pattern, "**", "**"),
        pytest.param(values.list_of(values.text), "a,\n b ,,a", ("a", "b"), id="list as text"),
        pytest.param(values.list_of(values.text), ["a,b"], ("a,b",), id="list"),
        pytest.param(values.parameters, '{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}, id="parameters as JSON"),
        pytest.param(
            values.parameters, "a: 1.5\nb: yes\nc: true\nd: 007\ne: 12:30\nf: '1'", {"a": 1.5, "b": "yes", "c": True, "d": "007", "e": "12:30", "f": "1"},
            id="parameters as YAML",
        ),
        pytest.param(
            values.parameters, "{a: '$(touch x)`id`'}", {"a": "$(touch x)`id`"},
            id="parameters with a command",
        ),
        pytest.param(values.parameters, "{}", {}, id="no parameters"),
    ],
)  # fmt: skip
def test_accepted(parse: Parser, given: object, wanted: object) -> None:
    assert parse(given) == wanted


@pytest.mark.parametrize(
    ("parse", "refused"),
    [
        (names.gcs_location, "bucket/x"),
        (names.gcs_location, "gs://"),
        (names.gcs_location, "gs://ab"),
        (names.gcs_location, "gs://Bucket/x"),
        (names.gcs_location, "gs://-b-/x"),
        (names.gcs_location, "gs://goog-x"),
        (names.gcs_location, "gs://my-google-x"),
        (names.gcs_location, "gs://192.168.0.1"),
        (names.gcs_location, "gs://a..b"),
        pytest.param(names.gcs_location, f"gs://{LONG}", id="gcs_location-bucket too long"),
        (names.gcs_location, "gs://bucket//x"),
        (names.gcs_location, "gs://bucket/a/../b"),
        (names.gcs_location, "gs://bucket/./b"),
        (names.gcs_location, "gs://bucket/a b"),
        (names.gcs_location, "gs://bucket/*"),
        (names.gcs_location, "gs://bucket/a#1"),
        (names.gcs_location, "gs://$BUCKET/x"),
        pytest.param(names.gcs_location, "gs://bucket/" + "a/" * 101, id="gcs_location-prefix too long"),
        (names.zone_or_region, "us"),
        (names.zone_or_region, "global"),
        (names.zone_or_region, "us-central1-a-b"),
        (names.zone_or_region, "US-central1-a"),
        (names.machine_type, "standard"),
        pytest.param(names.machine_type, "zones/us-central1-a/machineTypes/e2-standard-4", id="machine_type-path"),
        pytest.param(names.machine_type, "e2-" + LONG, id="machine_type-too long"),
        (names.accelerator, "nvidia-tesla-t4:0"),
        (names.accelerator, "nvidia-tesla-t4:"),
        (names.accelerator, "t4"),
        (names.service_account, "default"),
        (names.service_account, "me@example.com"),
        (names.service_account, "vm@local_project.iam.gserviceaccount.com"),
        (names.image, "projects/p/global/images/i"),
        (names.image_family, "Family"),
        (names.project, "x"),
        (names.network, "global/networks/"),
        (names.subnetwork, "../x"),
        (names.labels, "a"),
        (names.labels, "a=b,a=c"),
        (names.labels, "nb-run=x"),
        (names.labels, "A=b"),
        pytest.param(names.labels, f"a={LONG}", id="labels-value too long"),
        pytest.param(names.labels, {"a": 1.5}, id="labels-fraction"),
        pytest.param(names.labels, {"a": True}, id="labels-boolean"),
        pytest.param(names.labels, ",".join(f"k{n}=v" for n in range(60)), id="labels-too many"),
        (names.run_id, "-a"),
        (names.run_id, "a/b"),
        (names.run_id, "a."),
        pytest.param(names.run_id, "a" * 64, id="run_id-too long"),
        (names.output, "results"),
        (names.output, "/results/x"),
        (names.output, "results/../x"),
        (names.output, "elsewhere/x"),
        (names.output, "results/x<run>"),
        (names.output, "results/<run>x"),
        (names.output, "results/<run>/<run>"),
        (names.output, "results/<run>//a"),
        (names.output, "results/<run>/a/b/c/d/e/f"),
        (values.seconds(1, 100), "0"),
        (values.seconds(1, 100), "101"),
        (values.seconds(1, 100), "1.5"),
        (values.seconds(1, 100), "-1"),
        pytest.param(values.seconds(1, 100), "\uff11", id="seconds-full-width digit"),
        (values.seconds(1, 100), "1m"),
        (values.seconds(1, 100), True),
        (values.seconds(1, 100), 1.0),
        pytest.param(values.seconds(1, 100), "9" * 5000, id="seconds-too long"),
        (values.boolean, "maybe"),
        (values.boolean, 2),
        (values.boolean, 1.0),
        pytest.param(values.boolean, [], id="boolean-list"),
        (values.expectation, "a>1"),
        (values.expectation, "a=>1"),
        (values.expectation, "a>=x"),
        (values.expectation, "a>="),
        (values.expectation, "a>=1>=2"),
        (values.expectation, ">=1"),
        (values.expectation, "a>=6000GB"),
        (values.expectation, "../a"),
        (values.text, 1.5),
        (values.text, None),
        (values.list_of(values.text), ","),
        pytest.param(values.list_of(values.text), {"a": 1}, id="list-mapping"),
        pytest.param(values.list_of(values.text), [["a"]], id="list-list in a list"),
        (values.list_of(values.text, at_most=1), "a,b"),
        (values.parameters, "[1]"),
        (values.parameters, "a"),
        (values.parameters, 3),
        (values.parameters, '{"a": 1, "a": 2}'),
        pytest.param(values.parameters, "a: 1\na: 2", id="parameters-YAML key given twice"),
        (values.parameters, '{"a": NaN}'),
        (values.parameters, '{"a": 1e999}'),
        (values.parameters, "a: .inf"),
        (values.parameters, "a: 1e999"),
        (values.parameters, '{"x = 1; import os": 1}'),
        (values.parameters, '{"class": 1}'),
        (values.parameters, '{"": 1}'),
        pytest.param(values.parameters, {"a": ["\ud800"]}, id="parameters-surrogate"),
        pytest.param(values.parameters, {"a": {"\ud800": 1}}, id="parameters-surrogate in a key"),
        (values.parameters, '{"a": "\\ud800"}'),
        pytest.param(values.parameters, "[" * 100_000, id="parameters-lists nested without end"),
        pytest.param(values.parameters, '{"a":' * 100_000, id="parameters-mappings nested without end"),
        pytest.param(values.parameters, '{"a":' * 300 + "1" + "}" * 300, id="parameters-mappings nested too deeply"),
        (values.parameters, "a: !!python/object:os.system x"),
        (values.parameters, "a: !!int '3'"),
        (values.parameters, "a: !!seq {b: 1}"),
        (values.parameters, "a: &x [*x]"),
        (values.parameters, "<<: {a: 1}"),
        (values.parameters, "[a]: 1"),
        pytest.param(values.parameters, "a: 1\n---\nb: 2", id="parameters-two documents"),
        pytest.param(values.parameters, "a: \tb\n\t- c", id="parameters-tabs"),
        pytest.param(values.parameters, "#" * 200_000, id="parameters-too long"),
    ],
)  # fmt: skip
def test_refused(parse: Parser, refused: object) -> None:
    with pytest.raises(Unfit) as caught:
        parse(refused)
    assert all(expected for _, expected in caught.value.faults)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="empty"),
        ".",
        "/etc/passwd.ipynb",
        "~/a.ipynb",
        "../a.ipynb",
        "a/../../b.ipynb",
        "a/./b.ipynb",
        "a//b.ipynb",
        "a\\b.ipynb",
        "a/",
        pytest.param("a\x00.ipynb", id="null byte"),
        pytest.param("a\n.ipynb", id="line feed"),
        pytest.param("a\x7f.ipynb", id="delete character"),
        pytest.param("a\u202e.ipynb", id="right-to-left override"),
        pytest.param("a\u200b.ipynb", id="zero-width space"),
        pytest.param("\ud800.ipynb", id="surrogate"),
        pytest.param("u\u0308ber.ipynb", id="combining accent"),
        pytest.param("a" * 250 + ".ipynb", id="name too long"),
        pytest.param("a/" * 400 + "b.ipynb", id="path too long"),
        "notes.txt",
        "a.ipynb.bak",
    ],
)
def test_paths_that_lead_astray(path: str) -> None:
    with pytest.raises(Unfit):
        values.notebook_pattern(path)


def test_every_wrong_entry_of_a_list_is_named() -> None:
    with pytest.raises(Unfit) as caught:
        values.list_of(names.zone_or_region)("us,us-east1-b,moon")
    assert [part for part, _ in caught.value.faults] == ["us", "moon"]


def test_nothing_unfolds() -> None:
    for text in ("a: &x [1]", "a: *x", "a: &x [*x]", "? &x a\n: 1"):
        with pytest.raises(YamlMistake):
            read_yaml(text)


def test_keys_remember_their_lines() -> None:
    data = read_yaml("a: 1\n\nb:\n  c: 2\n")
    assert isinstance(data, Lined)
    assert data.lines == {"a": 1, "b": 3}
    assert data["b"].lines == {"c": 4}


def test_mistake_in_yaml_names_its_line() -> None:
    with pytest.raises(YamlMistake) as caught:
        read_yaml("a: 1\nb: [\n")
    assert caught.value.line == 3
    with pytest.raises(YamlMistake) as caught:
        read_yaml("a: 1\nb: 2\na: 3\n")
    assert (caught.value.line, caught.value.faults) == (3, [("a", "this key stands on line 1 already")])


def test_json_keeps_what_it_means() -> None:
    assert read_data('{"a": 12345678901234567890, "b": "1", "c": false}') == {
        "a": 12345678901234567890,
        "b": "1",
        "c": False,
    }


def test_printable_hides_nothing_and_is_short() -> None:
    assert values.printable("a\x1b[31m\x00\ud800b") == "a\\x1b[31m\\x00\\ud800b"
    assert len(values.printable("\x00" * 500)) <= 80
