"""Read the text files that users provide: one reader for suites, captions, annotations and lists.

All files are UTF-8, with or without a byte order mark. Every error is one line that starts with the file.
"""

import codecs
import csv
import io
import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from bench.errors import BenchError, DatasetError

MAX_BYTES: Final = 256 * 2**20
"""Largest file that is read; CelebA's largest list has 26 MB."""
OTHER_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""Byte order marks of the encodings that are refused by name; the first bytes of UTF-32 are also UTF-16's."""


def read_text(path: Path, error: type[BenchError] = DatasetError) -> str:
    """The text of a UTF-8 file without its byte order mark.

    Raises `error` if the file cannot be read, is not a regular file, or has another encoding.
    """
    content = _read_bytes(path, error)
    for mark, encoding in OTHER_MARKS:
        if content.startswith(mark):
            raise error(f"{path}: the text is encoded in {encoding}; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise error(
            f"{path}: line {line}: the byte {content[problem.start]:#04x} is not UTF-8 "
            "(perhaps Windows-1252 or Shift-JIS); save the file as UTF-8"
        ) from problem
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise error(f"{path}: line {line}: contains a NUL character; expected a text file in UTF-8")
    return text


def read_lines(path: Path, error: type[BenchError] = DatasetError) -> Iterator[tuple[int, str]]:
    """The lines with their numbers from 1; a line ends with a line feed, a carriage return, or both."""
    text = read_text(path, error)
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        yield number, line.rstrip("\n")


def read_json(path: Path, error: type[BenchError] = DatasetError) -> Any:
    """The content of a JSON file; an object with a repeated key is refused."""
    return _parsed(_decode_json, read_text(path, error), f"{path}", "JSON", error)


def read_json_lines(
    path: Path, error: type[BenchError] = DatasetError
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON Lines file with their line numbers.

    Only line feeds separate lines: JSON strings may contain other separators, such as U+2028.
    """
    for number, line in enumerate(read_text(path, error).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        record = _parsed(_decode_json, line, where, "JSON", error)
        if not isinstance(record, dict):
            raise error(f"{where}: {shortened(line)}; expected a JSON object")
        yield number, record


def read_csv(path: Path, error: type[BenchError] = DatasetError) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with a header, by column, with their line numbers."""
    reader = csv.reader(io.StringIO(read_text(path, error), newline=""), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) != len(header):
            raise error(f"{path}: line 1: a column name occurs twice in {', '.join(header)}")
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise error(
                    f"{path}: line {reader.line_num}: {len(row)} values; expected {len(header)}, "
                    "as in the header"
                )
            yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as problem:
        raise error(f"{path}: line {reader.line_num}: not CSV ({problem})") from problem


def parse_toml(text: str, where: str, error: type[BenchError]) -> dict[str, Any]:
    """The tables of a TOML text; `where` starts the error message."""
    return _parsed(tomllib.loads, text, where, "TOML", error)  # type: ignore[no-any-return]


def _read_bytes(path: Path, error: type[BenchError]) -> bytes:
    try:
        # Reading a named pipe or a device might never end.
        if path.exists() and not path.is_file():
            raise error(f"{path}: is not a file; expected a text file in UTF-8")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise error(f"{path}: cannot be read ({reason})") from problem
    if len(content) > MAX_BYTES:
        raise error(f"{path}: larger than {MAX_BYTES >> 20} MB; expected a text file")
    return content


def _parsed(
    parse: Callable[[str], Any], text: str, where: str, language: str, error: type[BenchError]
) -> Any:
    try:
        return parse(text)
    except RecursionError as problem:
        raise error(f"{where}: not {language}: nested too deeply") from problem
    except ValueError as problem:
        raise error(f"{where}: not {language}: {problem}") from problem


def _decode_json(text: str) -> Any:
    content = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    try:
        # "\\ud83d" is a valid escape, but half a character: no file and no terminal can contain it.
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"contains half a character, {error.object[error.start]!a}") from error
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def shortened(text: str, length: int = 80) -> str:
    """The text in quotes for an error message, cut after `length` characters."""
    return repr(text if len(text) <= length else f"{text[:length]}...")
