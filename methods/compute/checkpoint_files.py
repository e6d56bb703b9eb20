"""Files of a checkpoint in diffusers' layout: its JSON files, and the weights of one network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from methods.errors import MethodError


def weight_files(part: Path, stem: str, variant: str | None) -> tuple[Path, ...]:
    """Return one network's safetensors files of the variant: one file, or the index and its shards."""
    infix = f".{variant}" if variant else ""
    whole = part / f"{stem}{infix}.safetensors"
    if whole.is_file():
        return (whole,)
    index = part / f"{stem}.safetensors.index{infix}.json"
    if index.is_file():
        shards = sorted({part / name for name in json_object(index)["weight_map"].values()})
        if missing := [shard.name for shard in shards if not shard.is_file()]:
            raise MethodError(f"{part}: {', '.join(missing)} is missing; get the backbone again")
        return (index, *shards)
    names = sorted(path.name for path in part.glob("*") if path.suffix in (".safetensors", ".bin"))
    found = ", ".join(names) or "no weights"
    if variant is None and any(re.fullmatch(rf"{stem}\.\w+\.safetensors", name) for name in names):
        raise MethodError(f"{part}: no {whole.name}, only {found}; set variant, such as variant = 'fp16'")
    raise MethodError(
        f"{part}: no {whole.name}, but {found}; expected safetensors weights: get or convert them"
    )


def json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file; raises MethodError where it is unreadable or no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MethodError(f"{path}: cannot be read ({error}); get the backbone again") from error
    if not isinstance(content, dict):
        raise MethodError(f"{path}: not a JSON object; get the backbone again")
    return content
