"""DreamBench (Ruiz et al. 2023): objects and animals in the layout of google/dreambooth.

ROOT/dataset/<subject>/00.jpg ...           4 to 6 photographs each; ROOT may also be `dataset` itself
ROOT/dataset/prompts_and_classes.txt        every subject's class, 25 prompts each for objects and animals

The prompts are read from that file; `own_prompts = true` adds them to a run. Their `a {token} {class}`
becomes the slot. An adjective before the token is moved behind it, because the slot includes its own article.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.errors import DatasetError
from bench.subjects.identity import Identity, PhotoFile, checked_caption, checked_noun, split
from bench.subjects.image_files import entries, is_system_file, list_images
from bench.suite.prompts import SLOT, Prompt
from bench.suite.suite import DatasetSettings
from bench.text_files import read_lines, shortened
from methods.subject import with_article

LISTING: Final = "prompts_and_classes.txt"
LONGEST_NAME: Final = 255
"""Maximum number of characters of a subject, which is the name of a folder."""
LONGEST_ID: Final = 100
"""Maximum number of characters of a prompt's id, which is the name of a file."""
LIVE: Final = frozenset({"cat", "dog"})
"""Classes that get the prompts for living subjects; the file does not specify them."""


@dataclass(frozen=True)
class Listing:
    """Content of `prompts_and_classes.txt`."""

    classes: dict[str, str]
    """Class by subject."""
    prompts: dict[str, tuple[Prompt, ...]]
    """Prompts by kind of subject: `object` or `live`."""


class DreamBench:
    """Reads a complete or partial clone of google/dreambooth."""

    def __init__(self, settings: DatasetSettings, base: Path) -> None:
        if not settings.path:
            raise DatasetError(
                "dataset: kind = 'dreambench' needs path = \"...\", a clone of google/dreambooth"
            )
        root = base / settings.path
        self._settings = settings
        self._root = root / "dataset" if (root / "dataset").is_dir() else root
        self._listing = read_listing(self._root / LISTING)
        folders = {path.name for path in entries(self._root) if path.is_dir() and not is_system_file(path)}
        self._names = sorted(folders & self._listing.classes.keys())
        self._unlisted = sorted(folders - self._listing.classes.keys())
        if not self._names:
            raise DatasetError(f"{self._root}: no folder of a subject listed in {LISTING}")

    def names(self) -> list[str]:
        """Listed subjects that have a folder, sorted."""
        return self._names

    @property
    def remarks(self) -> tuple[str, ...]:
        """Listed subjects without a folder, and folders without a class."""
        missing = sorted(self._listing.classes.keys() - set(self._names))
        remarks = []
        if missing:
            remarks.append(
                f"{len(missing)} of {len(self._listing.classes)} subjects are not in {self._root}: "
                f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
            )
        if self._unlisted:
            remarks.append(f"folders that {LISTING} does not list: {', '.join(map(repr, self._unlisted))}")
        return tuple(remarks)

    def identity(self, name: str) -> Identity:
        """One subject, split with the suite's seed."""
        noun = self._listing.classes[name]
        kind = "live" if noun in LIVE else "object"
        references, held_out = split(name, self.photos(name), self._settings)
        return Identity(
            name,
            noun,
            tuple(references),
            tuple(held_out),
            {"kind": kind, "class": noun},
            origin="dreambench",
            person=False,
            own_prompts=self._listing.prompts[kind] if self._settings.own_prompts else (),
        )

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """All photographs of one subject, with the suite's caption."""
        paths = list_images(self._root / name)
        if not paths:
            raise DatasetError(f"{self._root / name}: no images")
        phrase = with_article(self._listing.classes[name])
        caption = checked_caption(self._settings.caption, "dataset: caption", phrase)
        return tuple(PhotoFile(path, caption) for path in paths)


def read_listing(path: Path) -> Listing:
    """Read classes and prompts. Raises DatasetError if a part of the file is missing."""
    if not path.exists():
        raise DatasetError(f"{path}: no such file; expected a clone of google/dreambooth")
    classes: dict[str, str] = {}
    prompts: dict[str, list[Prompt]] = {"object": [], "live": []}
    kind = ""
    for number, line in read_lines(path):
        line = line.strip()
        if line in ("Object Prompts", "Live Subject Prompts"):
            kind = "object" if line.startswith("Object") else "live"
        elif line.startswith(("'", '"')) and kind:
            prompts[kind].append(_prompt(line, f"{path}: line {number}", number))
        elif not kind and "," in line and line != "subject_name,class":
            subject, _, noun = line.partition(",")
            if not subject.isprintable() or len(subject) > LONGEST_NAME:
                raise DatasetError(f"{path}: line {number}: {shortened(line)}; expected `subject,class`")
            classes[subject.strip()] = checked_noun(noun, f"{path}: line {number}")
    if not classes or not all(prompts.values()):
        raise DatasetError(
            f"{path}: {len(classes)} subjects, {len(prompts['object'])} and {len(prompts['live'])} prompts; "
            "expected `subject,class` lines, then Object Prompts and Live Subject Prompts"
        )
    return Listing(classes, {kind: tuple(_with_unique_ids(found)) for kind, found in prompts.items()})


def _prompt(line: str, where: str, number: int) -> Prompt:
    r"""Parse a line such as `'a {0} {1} in the snow'.format(unique_token, class_token),`."""
    parts = re.fullmatch(r"an? (.*?)\s*\{0\} \{1\}([^{}]*)", _string(line))
    if parts is None:
        raise DatasetError(f"{where}: {shortened(line)}; expected a prompt with 'a {{0}} {{1}}' once")
    before, after = parts[1].strip(), parts[2].strip()
    words = " ".join(filter(None, (after, before)))
    separator = ", " if before else " "
    id = re.sub(r"[^a-z0-9]+", "-", words.lower())[:LONGEST_ID].strip("-") or f"line-{number}"
    category = "property" if before else "accessory" if after.startswith("wearing") else "context"
    return Prompt(id, f"{SLOT}{separator}{words}", category)


def _string(line: str) -> str:
    """The Python string at the start of a line; empty if there is none."""
    quoted = re.match(r"(['\"])(?:\\.|(?!\1)[^\\])*\1", line)
    try:
        return str(ast.literal_eval(quoted[0])) if quoted else ""
    except (SyntaxError, ValueError):
        return ""


def _with_unique_ids(prompts: list[Prompt]) -> Iterator[Prompt]:
    """The different prompts; a number is added to the id of the second prompt with the same words."""
    seen: dict[str, int] = {}
    for prompt in {prompt.template: prompt for prompt in prompts}.values():
        seen[prompt.id] = seen.get(prompt.id, 0) + 1
        yield prompt if seen[prompt.id] == 1 else replace(prompt, id=f"{prompt.id}-{seen[prompt.id]}")
