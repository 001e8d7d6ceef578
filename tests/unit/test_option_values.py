"""Values of options, one by one: what is accepted, as what, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from builder.model import Accelerator, Expectation, GcsLocation
from builder.options import google_names as names
from builder.options import paths, schedule, values
from builder.options.parameters import parameters
from builder.options.secret_names import secrets
from builder.options.values import InvalidValue
from builder.options.yaml_text import Lined, YamlMistake, read_data, read_yaml

Parser = Callable[[object], object]
LONG = "a" * 64
SECRET = "projects/my-project/secrets/maps-key/versions/3"


def nested(levels: int) -> list[object]:
    """As many lists, one in the other."""
    return [nested(levels - 1)] if levels > 1 else []


def long_json(length: int) -> str:
    """A JSON object of this many characters."""
    return '{"a": "' + "x" * (length - len('{"a": ""}')) + '"}'


@pytest.mark.parametrize(
    ("parse", "given", "wanted"),
    [
        pytest.param(names.gcs_location.parse, "gs://bucket", GcsLocation("bucket", ""), id="bucket"),
        pytest.param(names.gcs_location.parse, "gs://bucket/", GcsLocation("bucket", ""), id="bucket with a slash"),
        pytest.param(
            names.gcs_location.parse, "gs://my.bucket_1/a/b-c/", GcsLocation("my.bucket_1", "a/b-c"),
            id="bucket and prefix",
        ),
        (names.zone_or_region.parse, "us-central1-a", "us-central1-a"),
        (names.zone_or_region.parse, "northamerica-northeast1", "northamerica-northeast1"),
        (names.zone_or_region.parse, "us-central1-ai1a", "us-central1-ai1a"),
        (names.machine_type.parse, "n1-custom-4-16384-ext", "n1-custom-4-16384-ext"),
        (names.machine_type.parse, "f1-micro", "f1-micro"),
        pytest.param(names.accelerator.parse, "nvidia-tesla-t4", Accelerator("nvidia-tesla-t4", 1), id="accelerator"),
        pytest.param(
            names.accelerator.parse, " nvidia-tesla-t4:2 ", Accelerator("nvidia-tesla-t4", 2),
            id="accelerator with a count",
        ),
        pytest.param(
            names.service_account.parse, "1234-compute@developer.gserviceaccount.com", "1234-compute@developer.gserviceaccount.com",
            id="service account of Compute Engine",
        ),
        (names.service_account.parse, "my-app@appspot.gserviceaccount.com", "my-app@appspot.gserviceaccount.com"),
        pytest.param(
            names.service_account.parse, "notebook-vm@my-project.example.com.iam.gserviceaccount.com", "notebook-vm@my-project.example.com.iam.gserviceaccount.com",
            id="service account of a domain's project",
        ),
        *(
            pytest.param(names.service_account.parse, address, address, id=name)
            for name, address in {
                "service account of 6 characters": "abcdef@my-project.iam.gserviceaccount.com",
                "service account of 30 characters": f"{'a' * 30}@my-project.iam.gserviceaccount.com",
            }.items()
        ),
        (names.project.parse, "example.com:my-project", "example.com:my-project"),
        (names.network.parse, "global/networks/n", "global/networks/n"),
        pytest.param(names.subnetwork.parse,
            "https://www.googleapis.com/compute/v1/projects/my-host/regions/us-east1/subnetworks/s",
            "https://www.googleapis.com/compute/v1/projects/my-host/regions/us-east1/subnetworks/s", id="subnetwork's address"),
        pytest.param(names.labels.parse, "a=b, c_d=, e=1", {"a": "b", "c_d": "", "e": "1"}, id="labels"),
        pytest.param(names.labels.parse, {"a": 1}, {"a": "1"}, id="labels as a mapping"),
        pytest.param(names.run_id.parse, "0" * 63, "0" * 63, id="run id of 63 characters"),
        (names.run_id.parse, "Run_1.2", "Run_1.2"),
        (names.output.parse, "results/<run>", "results/<run>"),
        (names.output.parse, "results/<run>/a.b/2026/", "results/<run>/a.b/2026"),
        (values.seconds(1, 100).parse, "60s", 60),
        (values.seconds(1, 100).parse, 60, 60),
        (values.age.parse, "7d", 604_800),
        (values.age.parse, " 12H ", 43_200),
        (values.age.parse, "Never", None),
        (values.boolean.parse, 1, True),
        (values.boolean.parse, "No", False),
        pytest.param(paths.expectation.parse, "outputs/*.csv", Expectation("outputs/*.csv", 1), id="expected file"),
        pytest.param(paths.expectation.parse, "a >= 1.5 KiB", Expectation("a", 1536), id="expected KiB"),
        pytest.param(paths.expectation.parse, "a>=0.0001KB", Expectation("a", 1), id="expected fraction of a KB"),
        pytest.param(paths.expectation.parse, "a>=0", Expectation("a", 0), id="expected 0 bytes"),
        pytest.param(paths.expectation.parse, "a>=2gb", Expectation("a", 2_000_000_000), id="expected GB"),
        pytest.param(
            paths.notebook_pattern.parse, "././dir/über [x] 1.ipynb", "dir/über [x] 1.ipynb",
            id="pattern with spaces",
        ),
        (paths.notebook_pattern.parse, "**", "**"),
        pytest.param(values.list_of(values.text).parse, "a,\n b ,,a", ("a", "b"), id="list as text"),
        pytest.param(values.list_of(values.text).parse, ["a,b"], ("a,b",), id="list"),
        pytest.param(parameters.parse, '{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}, id="parameters as JSON"),
        pytest.param(
            parameters.parse, "a: 1.5\nb: yes\nc: true\nd: 007\ne: 12:30\nf: '1'", {"a": 1.5, "b": "yes", "c": True, "d": "007", "e": "12:30", "f": "1"},
            id="parameters as YAML",
        ),
        pytest.param(
            parameters.parse, "{a: '$(touch x)`id`'}", {"a": "$(touch x)`id`"},
            id="parameters with a command",
        ),
        pytest.param(parameters.parse, "{}", {}, id="no parameters"),
    ],
)  # fmt: skip
def test_accepted(parse: Parser, given: object, wanted: object) -> None:
    assert parse(given) == wanted


@pytest.mark.parametrize(
    ("parse", "refused"),
    [
        (schedule.event.parse, 1),
        (names.gcs_location.parse, "bucket/x"),
        (names.gcs_location.parse, "gs://"),
        (names.gcs_location.parse, "gs://ab"),
        (names.gcs_location.parse, "gs://Bucket/x"),
        (names.gcs_location.parse, "gs://-b-/x"),
        (names.gcs_location.parse, "gs://goog-x"),
        (names.gcs_location.parse, "gs://my-google-x"),
        (names.gcs_location.parse, "gs://192.168.0.1"),
        (names.gcs_location.parse, "gs://a..b"),
        pytest.param(names.gcs_location.parse, f"gs://{LONG}", id="gcs_location-bucket too long"),
        (names.gcs_location.parse, "gs://bucket//x"),
        (names.gcs_location.parse, "gs://bucket/a/../b"),
        (names.gcs_location.parse, "gs://bucket/./b"),
        (names.gcs_location.parse, "gs://bucket/a b"),
        (names.gcs_location.parse, "gs://bucket/*"),
        (names.gcs_location.parse, "gs://bucket/a#1"),
        (names.gcs_location.parse, "gs://$BUCKET/x"),
        pytest.param(names.gcs_location.parse, "gs://bucket/" + "a/" * 101, id="gcs_location-prefix too long"),
        (names.zone_or_region.parse, "us"),
        (names.zone_or_region.parse, "global"),
        (names.zone_or_region.parse, "us-central1-a-b"),
        (names.zone_or_region.parse, "US-central1-a"),
        (names.machine_type.parse, "standard"),
        pytest.param(names.machine_type.parse, "zones/us-central1-a/machineTypes/e2-standard-4", id="machine_type-path"),
        pytest.param(names.machine_type.parse, "e2-" + LONG, id="machine_type-too long"),
        (names.accelerator.parse, "nvidia-tesla-t4:0"),
        (names.accelerator.parse, "nvidia-tesla-t4:"),
        (names.accelerator.parse, "t4"),
        (names.service_account.parse, "default"),
        (names.service_account.parse, "me@example.com"),
        *(
            pytest.param(names.service_account.parse, address, id=f"service_account-{name}")
            for name, address in {
                "project with an underscore": "notebook-vm@local_project.iam.gserviceaccount.com",
                "2 characters": "vm@my-project.iam.gserviceaccount.com",
                "5 characters": "abcde@my-project.iam.gserviceaccount.com",
                "31 characters": f"{'a' * 31}@my-project.iam.gserviceaccount.com",
                "a digit first": "1notebook@my-project.iam.gserviceaccount.com",
                "a dash last": "notebook-@my-project.iam.gserviceaccount.com",
                "project of 5 characters": "notebook-vm@abcde.iam.gserviceaccount.com",
            }.items()
        ),
        (names.image.parse, "projects/p/global/images/i"),
        (names.image_family.parse, "Family"),
        (names.project.parse, "x"),
        (names.network.parse, "global/networks/"),
        (names.subnetwork.parse, "../x"),
        (names.labels.parse, "a"),
        (names.labels.parse, "a=b,a=c"),
        (names.labels.parse, "nb-run=x"),
        (names.labels.parse, "A=b"),
        pytest.param(names.labels.parse, f"a={LONG}", id="labels-value too long"),
        pytest.param(names.labels.parse, {"a": 1.5}, id="labels-fraction"),
        pytest.param(names.labels.parse, {"a": True}, id="labels-boolean"),
        pytest.param(names.labels.parse, ",".join(f"k{n}=v" for n in range(60)), id="labels-too many"),
        (names.run_id.parse, "-a"),
        (names.run_id.parse, "a/b"),
        (names.run_id.parse, "a."),
        pytest.param(names.run_id.parse, "a" * 64, id="run_id-too long"),
        (names.output.parse, "results"),
        (names.output.parse, "/results/x"),
        (names.output.parse, "results/../x"),
        (names.output.parse, "elsewhere/x"),
        (names.output.parse, "results/x<run>"),
        (names.output.parse, "results/<run>x"),
        (names.output.parse, "results/<run>/<run>"),
        (names.output.parse, "results/<run>//a"),
        (names.output.parse, "results/<run>/a/b/c/d/e/f"),
        (values.seconds(1, 100).parse, "0"),
        (values.seconds(1, 100).parse, "101"),
        (values.seconds(1, 100).parse, "1.5"),
        (values.seconds(1, 100).parse, "-1"),
        pytest.param(values.seconds(1, 100).parse, "\uff11", id="seconds-full-width digit"),
        (values.seconds(1, 100).parse, "1m"),
        (values.seconds(1, 100).parse, True),
        (values.seconds(1, 100).parse, 1.0),
        pytest.param(values.seconds(1, 100).parse, "9" * 5000, id="seconds-too long"),
        (values.boolean.parse, "maybe"),
        (values.boolean.parse, 2),
        (values.boolean.parse, 1.0),
        pytest.param(values.boolean.parse, [], id="boolean-list"),
        (paths.expectation.parse, "a>1"),
        (paths.expectation.parse, "a=>1"),
        (paths.expectation.parse, "a>=x"),
        (paths.expectation.parse, "a>=10TB"),
        (paths.expectation.parse, "a>="),
        (paths.expectation.parse, "a>=1>=2"),
        (paths.expectation.parse, ">=1"),
        (paths.expectation.parse, "a>=6000GB"),
        (paths.expectation.parse, "../a"),
        (values.text.parse, 1.5),
        (values.text.parse, None),
        (values.list_of(values.text).parse, ","),
        pytest.param(values.list_of(values.text).parse, {"a": 1}, id="list-mapping"),
        pytest.param(values.list_of(values.text).parse, [["a"]], id="list-list in a list"),
        (values.list_of(values.text, at_most=1).parse, "a,b"),
        (parameters.parse, "[1]"),
        (parameters.parse, "a"),
        (parameters.parse, 3),
        (parameters.parse, '{"a": 1, "a": 2}'),
        pytest.param(parameters.parse, "a: 1\na: 2", id="parameters-YAML key given twice"),
        (parameters.parse, '{"a": NaN}'),
        (parameters.parse, '{"a": 1e999}'),
        (parameters.parse, "a: .inf"),
        (parameters.parse, "a: 1e999"),
        (parameters.parse, '{"x = 1; import os": 1}'),
        (parameters.parse, '{"class": 1}'),
        (parameters.parse, '{"": 1}'),
        pytest.param(parameters.parse, {"a": ["\ud800"]}, id="parameters-surrogate"),
        pytest.param(parameters.parse, {"a": {"\ud800": 1}}, id="parameters-surrogate in a key"),
        (parameters.parse, '{"a": "\\ud800"}'),
        pytest.param(parameters.parse, "[" * 100_000, id="parameters-lists nested without end"),
        pytest.param(parameters.parse, '{"a":' * 100_000, id="parameters-mappings nested without end"),
        pytest.param(parameters.parse, '{"a":' * 300 + "1" + "}" * 300, id="parameters-mappings nested too deeply"),
        (parameters.parse, "a: !!python/object:os.system x"),
        (parameters.parse, "a: !!int '3'"),
        (parameters.parse, "a: !!seq {b: 1}"),
        (parameters.parse, "a: &x [*x]"),
        (parameters.parse, "<<: {a: 1}"),
        (parameters.parse, "[a]: 1"),
        pytest.param(parameters.parse, "a: 1\n---\nb: 2", id="parameters-two documents"),
        pytest.param(parameters.parse, "a: \tb\n\t- c", id="parameters-tabs"),
        pytest.param(parameters.parse, "#" * 200_000, id="parameters-too long"),
    ],
)  # fmt: skip
def test_refused(parse: Parser, refused: object) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse(refused)
    assert all(expected for _, expected in caught.value.faults)


@pytest.mark.parametrize(
    ("parse", "last", "beyond"),
    [
        pytest.param(values.text.parse, "a" * 1024, "a" * 1025, id="text of 1024 characters"),
        pytest.param(values.list_of(values.text).parse, ["a"] * 1000, ["a"] * 1001, id="list of 1000"),
        pytest.param(values.age.parse, "366d", "367d", id="age of 366 days"),
        pytest.param(values.age.parse, "8784h", "8785h", id="age of 366 days in hours"),
        pytest.param(values.seconds(1, 100).parse, "1", "0", id="seconds lowest"),
        pytest.param(values.seconds(1, 100).parse, "100", "101", id="seconds highest"),
        pytest.param(names.gcs_location.parse, "gs://abc", "gs://ab", id="bucket of 3 characters"),
        pytest.param(names.gcs_location.parse, f"gs://{'b' * 63}", f"gs://{'b' * 64}", id="bucket of 63"),
        pytest.param(
            names.gcs_location.parse,
            f"gs://{'.'.join(['b' * 63] * 3)}.{'c' * 30}",
            f"gs://{'.'.join(['b' * 63] * 3)}.{'c' * 31}",
            id="bucket of 222 with dots",
        ),
        pytest.param(
            names.gcs_location.parse,
            f"gs://bucket/{'a' * 200}",
            f"gs://bucket/{'a' * 201}",
            id="prefix of 200",
        ),
        pytest.param(
            names.labels.parse,
            {f"k{n}": "v" for n in range(59)},
            {f"k{n}": "v" for n in range(60)},
            id="59 labels",
        ),
        pytest.param(
            secrets.parse,
            {f"K{n}": SECRET for n in range(100)},
            {f"K{n}": SECRET for n in range(101)},
            id="100 secrets",
        ),
        pytest.param(paths.relative_path.parse, "a" * 255, "a" * 256, id="name of 255 bytes"),
        pytest.param(paths.relative_path.parse, "é" * 127, "é" * 128, id="name of 254 bytes in 127 letters"),
        pytest.param(
            paths.relative_path.parse, "a/" * 399 + "bb", "a/" * 399 + "bbb", id="path of 800 bytes"
        ),
        pytest.param(paths.expectation.parse, "a>=5497558138880", "a>=5497558138881", id="expected 5 TiB"),
        pytest.param(parameters.parse, {"a": nested(40)}, {"a": nested(41)}, id="40 levels"),
        pytest.param(read_yaml, f"a: {nested(40)}", f"a: {nested(41)}", id="40 levels of YAML"),
        pytest.param(read_yaml, f"[{'0,' * 19_999}]", f"[{'0,' * 20_000}]", id="20000 values of YAML"),
        pytest.param(read_yaml, "#" * 64 * 1024, "#" * (64 * 1024 + 1), id="64 KiB of YAML"),
        pytest.param(read_yaml, long_json(4 * 2**20), long_json(4 * 2**20 + 1), id="4 MiB of JSON"),
        pytest.param(
            parameters.parse,
            {"matrix": {"a": list(range(16)), "b": list(range(16))}},
            {"matrix": {"a": list(range(257))}},
            id="256 jobs",
        ),
    ],
)
def test_the_last_value_within_a_limit_is_accepted_and_the_next_refused(
    parse: Parser, last: object, beyond: object
) -> None:
    parse(last)
    with pytest.raises(InvalidValue):
        parse(beyond)


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
    with pytest.raises(InvalidValue):
        paths.notebook_pattern.parse(path)


def test_every_wrong_entry_of_a_list_is_named() -> None:
    with pytest.raises(InvalidValue) as caught:
        values.list_of(names.zone_or_region).parse("us,us-east1-b,moon")
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
    assert (caught.value.line, caught.value.faults) == (
        3,
        [("a", "this is already on line 1; write it once")],
    )


def test_json_keeps_its_meaning() -> None:
    assert read_data('{"a": 12345678901234567890, "b": "1", "c": false}') == {
        "a": 12345678901234567890,
        "b": "1",
        "c": False,
    }
