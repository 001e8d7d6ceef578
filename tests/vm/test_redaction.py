"""The redactor by itself: every form of a value, streams, pieces, notebooks, files."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from papermill.parameterize import parameterize_notebook

from builder.vm.runner import redacted_files
from builder.vm.runner.log import Log
from builder.vm.runner.outputs import Output
from builder.vm.runner.redacted_files import CHUNK_BYTES, notebook, outputs_to_upload
from builder.vm.runner.redaction import Redactor, Stream, label
from builder.vm.runner.secret_forms import MIN_BYTES, WORDS

VALUE = 'c4nary-Ünit "42"\\<&>/+?'
KEY = (
    "-----BEGIN PRIVATE KEY-----\n"
    + "".join(base64.b64encode(bytes(range(7 * n, 7 * n + 48))).decode() + "\n" for n in range(8))
    + "c2hvcnQ=\n-----END PRIVATE KEY-----\n"
)
ACCOUNT = json.dumps({"type": "service_account", "project_id": "our-project-1", "private_key": KEY}, indent=2)

FORMS: dict[str, str | bytes] = {
    "raw": VALUE,
    "JSON": json.dumps(VALUE),
    "JSON in Unicode": json.dumps(VALUE, ensure_ascii=False),
    "JSON in JSON": json.dumps(json.dumps(VALUE)),
    "repr": repr(VALUE),
    "repr of bytes": repr(VALUE.encode()),
    "HTML": html.escape(VALUE),
    "HTML text": html.escape(VALUE, quote=False),
    "URL": quote(VALUE, safe=""),
    "URL's path": quote(VALUE),
    "hex": VALUE.encode().hex(),
    "HEX": VALUE.encode().hex().upper(),
    "UTF-16": VALUE.encode("utf-16"),
    "UTF-32, as in NumPy's arrays": VALUE.encode("utf-32-le"),
    **{f"base64 after {n}": base64.b64encode(b"u" * n + VALUE.encode() + b"tail") for n in range(7)},
    **{f"URL-safe base64 after {n}": base64.urlsafe_b64encode(b"u" * n + VALUE.encode()) for n in range(3)},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_found(form: str | bytes) -> None:
    data = form if isinstance(form, bytes) else form.encode()
    redacted = Redactor({"KEY": VALUE}).data(b"before " + data + b" after")
    assert b"[redacted KEY]" in redacted
    assert redacted.startswith(b"before ")
    assert redacted.endswith(b" after")
    assert len(redacted) < len(b"before [redacted KEY] after") + 20


def test_a_newline_at_the_end_of_a_value_is_none_of_it() -> None:
    redactor = Redactor({"KEY": "0123456789\n"})
    assert redactor.text("is 0123456789\nnext") == "is [redacted KEY]\nnext"


def test_lines_of_a_key_and_its_wrapped_encodings() -> None:
    redactor = Redactor({"PEM": KEY})
    lines = KEY.splitlines()
    assert redactor.text(f"{lines[3]}\n{lines[0]}") == f"[redacted PEM]\n{lines[0]}"
    assert redactor.text(KEY) == "[redacted PEM]\n"
    wrapped = redactor.data(base64.encodebytes(KEY.encode())).split(b"\n")
    assert all(line.startswith(b"[redacted PEM]") for line in wrapped[:-2])
    assert not any(line in base64.encodebytes(KEY.encode()).split(b"\n") for line in wrapped if len(line) > 8)


def test_texts_within_a_json_value() -> None:
    redactor = Redactor({"ACCOUNT": ACCOUNT, "LOGIN": '{"user": "someone", "password": "hunter2hunter2"}'})
    assert redactor.text(f"our-project-1 {KEY}") == "our-project-1 [redacted ACCOUNT]\n"
    assert redactor.text("service_account hunter2hunter2") == "service_account [redacted LOGIN]"
    basic = base64.b64encode(b"someone:hunter2hunter2").decode()
    assert "[redacted LOGIN]" in redactor.text(basic)


def test_the_longest_wins() -> None:
    redactor = Redactor({"SHORT": "abcdefgh", "LONG": "abcdefgh-and-more"})
    assert redactor.text("abcdefgh-and-more abcdefgh-and") == "[redacted LONG] [redacted SHORT]-and"
    assert redactor.counts == {"LONG": 1, "SHORT": 1}
    inner = Redactor({"INNER": "bcdefghi", "OUTER": "abcdefghij"})
    assert inner.text("abcdefghij") == "[redacted OUTER]"


def test_without_secrets_nothing_changes() -> None:
    redactor = Redactor({})
    assert not redactor
    assert redactor.text("anything") == "anything"
    assert Stream(redactor).feed(b"any") == b"any"
    assert redactor.find(b"anything") == ""


def test_a_common_word_within_a_json_value_is_left_alone() -> None:
    redactor = Redactor({"STATE": '{"status": "completed", "name": "redacted STATE"}'})
    assert redactor.text("completed") == "completed"
    assert "completed" in WORDS


TEXT = st.text(st.sampled_from('ab1é"\\\n +'), max_size=60)
SECRETS = st.dictionaries(
    st.sampled_from(["A", "B", "KEY"]),
    st.text(st.sampled_from('ab1é"\\\n +'), min_size=8, max_size=14).filter(
        lambda value: len(value.strip().encode()) >= MIN_BYTES
    ),
    max_size=3,
)


@st.composite
def cases(draw: Any) -> tuple[dict[str, str], bytes, list[int]]:
    """Secrets, a text that holds some of their forms and pieces of them, and where it is cut."""
    secrets = draw(SECRETS)
    pieces = [draw(TEXT)]
    for value in draw(st.lists(st.sampled_from(list(secrets.values()) or [""]), max_size=4)):
        form = draw(
            st.sampled_from(
                [value, json.dumps(value), quote(value), base64.b64encode(value.encode()).decode()]
            )
        )
        start, stop = draw(st.integers(0, 3)), draw(st.one_of(st.none(), st.integers(4, 14)))
        pieces += [draw(st.sampled_from([form, form[start:stop], form[: len(form) - start]])), draw(TEXT)]
    data = "".join(pieces).encode()
    return secrets, data, sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))


@settings(max_examples=100, deadline=None)
@given(cases())
def test_neither_a_stream_nor_the_whole_gives_a_value(case: tuple[dict[str, str], bytes, list[int]]) -> None:
    secrets, data, cuts = case
    stream = Stream(Redactor(secrets))
    ends = [*cuts, len(data)]
    made = [stream.feed(data[start:end]) for start, end in zip([0, *cuts], ends, strict=True)]
    for given_away in (b"".join(made) + stream.end(), _plainly(Redactor(secrets), data)):
        for name, value in secrets.items():
            assert value.strip().encode() not in given_away, name


# The same cases each time: a value beside what escapes another letter can be read in two ways, and then the stream,
# which sees less around it, takes one more letter away than the whole. No value is left either way, as the test above
# shows.
@settings(max_examples=100, deadline=None, derandomize=True)
@given(cases())
def test_a_stream_gives_what_the_whole_gives_and_no_value(
    case: tuple[dict[str, str], bytes, list[int]],
) -> None:
    secrets, data, cuts = case
    whole, piecewise, single = (Redactor(secrets) for _ in range(3))
    expected = _plainly(whole, data)
    stream = Stream(piecewise)
    ends = [*cuts, len(data)]
    made = [stream.feed(data[start:end]) for start, end in zip([0, *cuts], ends, strict=True)]
    assert b"".join(made) + stream.end() == expected
    bytewise = Stream(single)
    assert b"".join(bytewise.feed(data[at : at + 1]) for at in range(len(data))) + bytewise.end() == expected
    assert piecewise.counts == single.counts
    for name, value in secrets.items():
        sought = value.strip().encode()
        assert sought not in expected, name
        assert base64.b64encode(sought)[: len(sought) * 8 // 6] not in expected, name


def _plainly(redactor: Redactor, data: bytes) -> bytes:
    """Redacts without a stream."""
    made, at = b"", 0
    for begin, end, name in redactor.matches(data):
        made += data[at:begin] + label(name).encode()
        at = end
    return made + data[at:]


@settings(max_examples=60, deadline=None)
@given(cases())
def test_pieces_together_are_the_redacted_whole(case: tuple[dict[str, str], bytes, list[int]]) -> None:
    secrets, data, cuts = case
    text = data.decode()
    ends = sorted(min(cut, len(text)) for cut in cuts)
    pieces = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    redactor = Redactor(secrets)
    redacted = redactor.pieces(pieces)
    assert len(redacted) == len(pieces)
    assert "".join(redacted).encode() == _plainly(Redactor(secrets), data)


def test_a_stream_holds_back_only_what_may_begin_a_value() -> None:
    stream = Stream(Redactor({"KEY": "canary-123"}))
    assert stream.feed(b"plain text\n") == b"plain text\n"
    assert stream.feed(b"more can") == b"more "
    assert stream.feed(b"not") == b"cannot"
    assert stream.feed(b"canary-12") == b""
    assert stream.feed(b"3!") == b"[redacted KEY]!"


def test_a_held_line_of_the_log_is_let_through_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[bytes] = []
    log = Log(lambda _number, content: chunks.append(content))
    log.protect(Redactor({"KEY": "{\n  first\n  second line\n}"}))
    log.output(b"{\n  first\n")
    log.tick()
    assert not log._send()
    monkeypatch.setattr("builder.vm.runner.log.HELD_SECONDS", 0.0)
    log.tick()
    assert log._send()
    assert chunks == [b"| {\n|   first\n"]
    log.output(b"  second line\n}")
    log.finish()
    assert b"second line" not in b"".join(chunks)


def test_the_log_looks_again_at_lines_that_were_cleaned() -> None:
    chunks: list[bytes] = []
    log = Log(lambda _number, content: chunks.append(content))
    log.protect(Redactor({"KEY": "canary-123"}))
    log.output(b"a can\x1b[0mary-\x00123 b\n")
    log.line("a can\x1b[0mary-123 and canary-\n123")
    log.finish()
    text = b"".join(chunks)
    assert text == b"| a [redacted KEY] b\n# a [redacted KEY] and canary- 123\n"


# -- notebooks and files ----------------------------------------------------------------------------------------------


def stream_output(text: str, name: str = "stdout") -> Any:
    return nbformat.v4.new_output("stream", name=name, text=text)


def executed(*outputs: Any, **metadata: Any) -> Any:
    cell = nbformat.v4.new_code_cell("print(1)", outputs=list(outputs), execution_count=1)
    return nbformat.v4.new_notebook(cells=[cell], metadata=metadata)


def redacted(book: Any, tmp_path: Path, **secrets: str) -> tuple[Any, str]:
    source = tmp_path / "output.ipynb"
    nbformat.write(book, source)
    path = notebook(source, tmp_path / "redacted.ipynb", Redactor(secrets))
    made = nbformat.read(path, as_version=4)
    nbformat.validate(made)
    return made, path.read_text()


def test_a_notebook_stays_one_whatever_is_taken_out_of_it(tmp_path: Path) -> None:
    html_output = nbformat.v4.new_output(
        "display_data",
        data={"text/html": f"<b>{html.escape(VALUE)}</b>", "application/json": {VALUE: [12345678, VALUE]}},
        metadata={"note": VALUE},
    )
    error = nbformat.v4.new_output(
        "error", ename="ValueError", evalue=VALUE, traceback=[f"at {VALUE}", "line"]
    )
    book = executed(stream_output(VALUE), html_output, error, secret=VALUE)
    made, text = redacted(book, tmp_path, KEY=VALUE, PIN="12345678")
    assert json.dumps(VALUE)[1:-1] not in text
    assert "12345678" not in text
    stream, shown, failed = made.cells[0].outputs
    assert stream.text == "[redacted KEY]"
    assert shown.data["application/json"] == {"[redacted KEY]": ["[redacted PIN]", "[redacted KEY]"]}
    assert failed.traceback == ["at [redacted KEY]", "line"]
    assert made.metadata.secret == "[redacted KEY]"
    assert made.cells[0].source == "print(1)"


# A parameter is text: those that are no text are written as bytes only.
TEXTS = {
    name: form if isinstance(form, str) else form.decode()
    for name, form in FORMS.items()
    if not name.startswith("UTF")
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_neither_of_papermill_s_copies_of_a_parameter_keeps_a_value(tmp_path: Path, text: str) -> None:
    """papermill writes each parameter into a cell of its own and into the notebook's metadata."""
    given = {"token": text, "nested": {"list": [text], f"key {text}": 1}}
    plain = executed(papermill={})
    plain.cells[0].metadata.tags = ["parameters"]
    book = parameterize_notebook(plain, given, kernel_name="python3", language="python")
    assert book.metadata.papermill.parameters == given
    assert book.cells[1].metadata.tags == ["injected-parameters"]
    made, stored = redacted(book, tmp_path, KEY=VALUE)
    assert text not in stored
    assert "[redacted KEY]" in made.cells[1].source
    assert "[redacted KEY]" in made.metadata.papermill.parameters["token"]
    assert "[redacted KEY]" in made.metadata.papermill.parameters["nested"]["list"][0]
    for place in (made.cells[1].source, json.dumps(made.metadata.papermill.parameters)):
        assert not [form for form in TEXTS.values() if form in place]


def test_a_value_in_several_outputs_of_one_stream(tmp_path: Path) -> None:
    pieces = [stream_output(letter) for letter in "a canary-123\n"]
    pieces.insert(5, stream_output("between\n", "stderr"))
    made, text = redacted(executed(*pieces), tmp_path, KEY="canary-123")
    outputs = made.cells[0].outputs
    assert "".join(o.text for o in outputs if o.name == "stdout") == "a [redacted KEY]\n"
    assert "between" in text


def test_an_untouched_notebook_is_the_same_file(tmp_path: Path) -> None:
    source = tmp_path / "output.ipynb"
    nbformat.write(executed(stream_output("fine")), source)
    assert notebook(source, tmp_path / "other", Redactor({"KEY": VALUE})) == source


@pytest.mark.parametrize("content", ["{", "[]", '{"cells": 3}', '{"cells": [{"outputs": [{}]}]}'])
def test_what_is_no_notebook_is_redacted_as_text(tmp_path: Path, content: str) -> None:
    source = tmp_path / "output.ipynb"
    source.write_text(content + " canary-123")
    path = notebook(source, tmp_path / "redacted", Redactor({"KEY": "canary-123"}))
    assert path.read_text() == content + " [redacted KEY]"


def _zip(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sheet.xml", content)
    return file.getvalue()


BINARY = b"\x89PNG\r\n\x1a\n\0\0tEXt" + b"\xff" * 50


@pytest.mark.parametrize(
    "content",
    [
        BINARY + VALUE.encode(),
        BINARY + base64.b64encode(b"x" + VALUE.encode()),
        b"\0" * (1 << 20) + VALUE.encode(),
        b"\0" * ((1 << 20) - 5) + VALUE.encode(),
        VALUE.encode("utf-16"),
        gzip.compress(b"a,b\n" + VALUE.encode()),
        _zip(VALUE.encode() * 3),
    ],
    ids=["png", "base64", "late", "across chunks", "UTF-16", "gzip", "zip"],
)
def test_binary_files_with_values_are_withheld(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plot"
    path.write_bytes(content)
    kept, withheld = outputs_to_upload(
        [Output("outputs/plot", path)], tmp_path / "new", Redactor({"KEY": VALUE})
    )
    assert kept == []
    assert [(item.path, item.why) for item in withheld] == [
        ("outputs/plot", "it holds the value of secret KEY")
    ]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(BINARY, id="binary"),
        pytest.param(gzip.compress(b"fine"), id="gzip"),
        pytest.param(_zip(b"fine"), id="zip"),
        pytest.param(b"\x1f\x8bbroken", id="broken gzip"),
        pytest.param(b"BZh9\xff", id="broken bzip2"),
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x05\x06" + b"\0" * 18, id="empty zip"),
    ],
)
def test_files_without_values_are_uploaded_as_they_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plot"
    path.write_bytes(content)
    item = Output("outputs/plot", path)
    assert outputs_to_upload([item], tmp_path / "new", Redactor({"KEY": VALUE})) == ([item], [])


def test_of_an_archive_a_bounded_part_is_searched(tmp_path: Path) -> None:
    """All members count together: a small file can have many large ones."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(9):
            archive.writestr(f"{number}.txt", bytes(CHUNK_BYTES))
        archive.writestr("last.txt", VALUE)
    redactor = Redactor({"KEY": VALUE})
    read: list[int] = []

    class Counting(Redactor):
        def find(self, data: bytes) -> str:
            read.append(len(data))
            return super().find(data)

    assert redacted_files._find_unpacked(path, redactor) == "KEY"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            redacted_files._Budget, "__init__", lambda budget: setattr(budget, "left", 3 * CHUNK_BYTES)
        )
        assert redacted_files._find_unpacked(path, Counting({"KEY": VALUE})) == ""
    assert sum(read) == 3 * CHUNK_BYTES


def test_text_files_are_redacted_and_names_are_looked_at(tmp_path: Path) -> None:
    big = "ä" * (1 << 19) + "canary-123\n" + "x" * (1 << 20)
    for name, text in {"a.csv": f"id,key\n1,canary-123\n{big}", "canary-123.txt": "x"}.items():
        (tmp_path / name).write_text(text)
    found = [Output(f"outputs/{path.name}", path) for path in sorted(tmp_path.iterdir())]
    kept, withheld = outputs_to_upload(found, tmp_path / "new", Redactor({"KEY": "canary-123"}))
    assert [item.name for item in kept] == ["outputs/a.csv"]
    assert kept[0].path.read_text() == f"id,key\n1,[redacted KEY]\n{big}".replace(
        "canary-123", "[redacted KEY]"
    )
    assert [(item.path, item.why) for item in withheld] == [
        ("outputs/[redacted KEY].txt", "its name holds the value of secret KEY")
    ]
    assert (tmp_path / "a.csv").read_text().startswith("id,key\n1,canary")


def test_a_note_is_redacted_before_it_is_cut() -> None:
    chunks: list[bytes] = []
    log = Log(lambda _number, content: chunks.append(content))
    log.protect(Redactor({"KEY": "canary-1234567890"}))
    log.line("x" * 1985 + "canary-1234567890")
    log.finish()
    assert b"canary" not in b"".join(chunks)


def test_a_label_is_not_redacted_again() -> None:
    redactor = Redactor({"MAPS_KEY": '{"use": "MAPS_KEY", "password": "hunter2hunter2"}'})
    assert redactor.text("MAPS_KEY is hunter2hunter2") == "MAPS_KEY is [redacted MAPS_KEY]"
