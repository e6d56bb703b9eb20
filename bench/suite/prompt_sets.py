"""The built-in prompt sets, read from `builtin/prompts/*.toml`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final, Literal

from bench.errors import SuiteError, nearest
from bench.suite.prompts import Prompt
from bench.suite.toml_schema import read_table
from bench.text_files import parse_toml, read_text

FOLDER: Final = Path(__file__).parent / "builtin" / "prompts"
PROMPT_SETS: Final = ("portrait", "person", "live", "object", "live-or-object", "none")
"""`live-or-object` alternates `live` and `object`; a subject gets the half that matches its attribute `kind`.
`none` is empty, for suites with recaptions or custom prompts only."""


@dataclass(frozen=True)
class PromptFile:
    """Content of one TOML file; its prompts are written like `[[prompts.custom]]` of a suite."""

    prompts: tuple[Prompt, ...]


@cache
def prompt_set(name: str) -> tuple[Prompt, ...]:
    """All prompts of one of `PROMPT_SETS`."""
    match name:
        case "none":
            return ()
        case "live-or-object":
            return tuple(chain.from_iterable(zip(_suiting("live"), _suiting("object"), strict=True)))
    path = FOLDER / f"{name}.toml"
    table = parse_toml(read_text(path, SuiteError), str(path), SuiteError)
    return read_table(table, PromptFile, str(path)).prompts


def _suiting(kind: Literal["live", "object"]) -> Iterator[Prompt]:
    """The set `kind`, restricted to subjects of that kind."""
    return (replace(prompt, id=f"{kind}-{prompt.id}", suits=kind) for prompt in prompt_set(kind))


def choose_prompts(name: str, *, count: int | None, ids: Sequence[str]) -> tuple[Prompt, ...]:
    """The prompts of a built-in set: those named by `ids`, else the first `count`, else all."""
    if name not in PROMPT_SETS:
        raise SuiteError(f"unknown prompt set {name!r}; {nearest(name, PROMPT_SETS)}")
    prompts = {prompt.id: prompt for prompt in prompt_set(name)}
    for id in ids:
        if id not in prompts:
            raise SuiteError(f"unknown prompt {id!r} in the set {name!r}; {nearest(id, prompts)}")
    if ids:
        return tuple(prompts[id] for id in ids)
    if count is not None and not 0 <= count <= len(prompts):
        raise SuiteError(f"prompts: count = {count}, the set {name!r} has {len(prompts)} prompts")
    return tuple(prompts.values())[:count]
