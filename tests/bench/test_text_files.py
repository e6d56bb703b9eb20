"""One reader for every text file of a user: encodings, line ends, and errors that name file and line."""

import json
import os
from pathlib import Path

import pytest

from bench.errors import DatasetError, SuiteError
from bench.suite.suite import open_suite
from bench.text_files import parse_toml, read_csv, read_json, read_json_lines, read_lines, read_text

MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize("mark", [b"", MARK])
def test_utf_8_is_read_with_and_without_a_byte_order_mark(mark: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(mark + "Zoé".encode())
    assert read_text(path) == "Zoé"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ok\ncafé".encode("latin-1"), "line 2: the byte 0xe9 is not UTF-8"),
        ("кафе".encode("cp1251"), "line 1: the byte 0xea is not UTF-8"),
        ("a photo".encode("utf-16"), "encoded in UTF-16; save it as UTF-8"),
        ("a photo".encode("utf-32"), "encoded in UTF-32; save it as UTF-8"),
        (b"a\nb\0", "line 2: contains a NUL"),
    ],
)
def test_other_encodings_are_refused_with_file_and_encoding(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message) as refused:
        read_text(path)
    assert str(refused.value).startswith(f"{path}: ")
    with pytest.raises(SuiteError):
        read_text(path, SuiteError)


def test_folders_and_pipes_are_refused_instead_of_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    for name in (".", "pipe.txt"):
        with pytest.raises(DatasetError, match="is not a file"):
            read_text(tmp_path / name)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_text(tmp_path / "missing.txt")


def test_lines_end_with_any_usual_line_end_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("a\r\nb\rc\u2028d\n\ne".encode())
    assert list(read_lines(path)) == [(1, "a"), (2, "b"), (3, "c\u2028d"), (4, ""), (5, "e")]


def test_json_lines_are_separated_by_line_feeds_only(tmp_path: Path) -> None:
    records = [{"text": "one\u2028two\u0085three"}, {"text": "four"}]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path = tmp_path / "metadata.jsonl"
    path.write_bytes(MARK + "\r\n\n".join(lines).encode())
    assert list(read_json_lines(path)) == [(1, records[0]), (3, records[1])]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 3: not JSON"),
        ("[1]", r"line 3: '\[1\]'; expected a JSON object"),
        ('{"a": 1, "a": 2}', "line 3: not JSON: the key 'a' occurs twice"),
        (r'{"a": "\ud83d"}', "line 3: not JSON: contains half a character"),
        ('{"a": NaN}', "line 3: not JSON: NaN"),
        ("[" * 100_000, "line 3: not JSON: nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "line 3: not JSON"),
    ],
)
def test_malformed_json_line_is_reported_with_its_number(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "metadata.jsonl"
    path.write_text('{"a": 1}\n{"a": 1}\n' + line)
    with pytest.raises(DatasetError, match=message):
        list(read_json_lines(path))
    with pytest.raises(DatasetError, match="not JSON"):
        read_json(path)


def test_csv_rows_are_read_by_column(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_bytes(MARK + b'file_name,text\r\n1.png,"a, ""b""\nc"\r\n\r\n2.png,d\r\n')
    assert [row for _, row in read_csv(path)] == [
        {"file_name": "1.png", "text": 'a, "b"\nc'},
        {"file_name": "2.png", "text": "d"},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1\n", "line 2: 1 values; expected 2"),
        ("a,a\n1,2\n", "line 1: a column name occurs twice"),
        ('a\n"1\n', "not CSV"),
        ("a\n" + 200_000 * "1", "not CSV"),
    ],
)
def test_malformed_csv_is_reported_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        list(read_csv(path))


def test_toml_nested_too_deeply_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"x\.toml: not TOML: nested too deeply"):
        parse_toml("x = " + "[" * 5000 + "]" * 5000, "x.toml", SuiteError)


def test_suite_with_a_byte_order_mark_is_read(suite: Path) -> None:
    plain = open_suite(str(suite)).suite
    suite.write_bytes(MARK + suite.read_bytes())
    assert open_suite(str(suite)).suite == plain
