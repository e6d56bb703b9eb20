"""Find a backbone's files: a folder, a hub snapshot, or a single file. Imports no torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from methods.backbone.single_file import EXAMPLE_CONFIGS, checkpoint_family
from methods.backbone.spec import EMBEDDED, BackboneSpec, Family
from methods.errors import MethodError
from methods.shipped import WEIGHTS

NETWORKS: Final = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
"""The networks of a folder, and the stems of their weight files."""

PARTS: Final = (*NETWORKS, "tokenizer", "tokenizer_2", "scheduler")

PIPELINES: Final[dict[str, tuple[str, ...]]] = {
    "StableDiffusionPipeline": ("unet", "vae", "text_encoder", "tokenizer", "scheduler"),
    "StableDiffusionXLPipeline": PARTS,
}
"""The supported pipelines with their parts."""


@dataclass(frozen=True)
class CheckpointLocation:
    """The files of one backbone."""

    folder: Path
    """Folder of the configs and tokenizers, and of the weights unless there is a single file."""
    pipeline: str
    """The class name in model_index.json."""
    single: Path | None = None
    """The one file with all weights, under the original names."""
    variant: str | None = None

    @property
    def place(self) -> Path:
        """The path to show to the user: the single file or the folder."""
        return self.single or self.folder

    @property
    def weights(self) -> tuple[Path, ...]:
        """The weight files that are loaded, and no others."""
        if self.single is not None:
            return (self.single,)
        parts = (part for part in PIPELINES[self.pipeline] if part in NETWORKS)
        return tuple(path for part in parts for path in weight_files(self.folder / part, self.variant))

    def files(self) -> tuple[Path, ...]:
        """All files of the backbone: weights, configs, tokenizers."""
        index = self.folder / "model_index.json"
        inside = [path for part in PIPELINES[self.pipeline] for path in (self.folder / part).rglob("*")]
        configs = [p for p in inside if p.suffix in (".json", ".txt") and not p.name.endswith(".index.json")]
        return tuple(sorted({index, *configs, *self.weights}))


def locate_checkpoint(spec: BackboneSpec, *, fetch: bool) -> CheckpointLocation:
    """Find the backbone and check that no part is missing; `fetch` allows downloads from the hub.

    Raises MethodError with the next step in one line.
    """
    path = Path(spec.path).expanduser()
    if path.suffix in (".safetensors", ".ckpt", ".pt", ".pth", ".bin") and not path.is_dir():
        return _single_file(spec, fetch)
    if spec.config is not None:
        raise MethodError(
            f"backbone {spec.path}: config is only for a single .safetensors file; leave it out"
        )
    folder = _folder(spec, fetch)
    location = CheckpointLocation(folder, _pipeline(folder), variant=spec.variant)
    for part in PIPELINES[location.pipeline]:
        if not (location.folder / part).is_dir():
            raise MethodError(
                f"{location.folder / part}: no such folder; get the backbone again, with all its parts"
            )
    # Raises for missing weights before anything is loaded.
    _ = location.weights
    return location


def networks_of(pipe: Any) -> dict[str, Any]:
    """Return a pipeline's networks by folder name."""
    return {name: module for name in NETWORKS if (module := getattr(pipe, name, None)) is not None}


def weight_files(part: Path, variant: str | None) -> tuple[Path, ...]:
    """Return one network's safetensors files of the variant: one file, or the index and its shards."""
    stem, infix = NETWORKS[part.name], f".{variant}" if variant else ""
    whole = part / f"{stem}{infix}.safetensors"
    if whole.is_file():
        return (whole,)
    index = part / f"{stem}.safetensors.index{infix}.json"
    if index.is_file():
        shards = sorted({part / name for name in _json(index)["weight_map"].values()})
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


def _folder(spec: BackboneSpec, fetch: bool) -> Path:
    folder = WEIGHTS / EMBEDDED if spec.path == EMBEDDED else Path(spec.path).expanduser()
    if (folder / "model_index.json").is_file():
        return folder
    if folder.exists():
        raise MethodError(
            f"{folder}: no model_index.json; expected a Stable Diffusion folder in diffusers' layout"
        )
    if spec.path == EMBEDDED:
        raise MethodError(f"{folder}: the embedded backbone is missing; make it with 'bench train backbone'")
    if not _is_hub_id(spec.path):
        raise MethodError(
            f"{folder}: no such folder; give a Stable Diffusion folder, a hub id, a .safetensors file, "
            "or 'embedded'"
        )
    return _snapshot(spec.path, spec.revision, _patterns(spec.variant), fetch)


def _single_file(spec: BackboneSpec, fetch: bool) -> CheckpointLocation:
    file = Path(spec.path).expanduser()
    if file.suffix != ".safetensors":
        raise MethodError(
            f"{file}: only .safetensors checkpoints are supported, because a pickle can run code; convert it"
        )
    if not file.is_file():
        raise MethodError(f"{file}: no such file; expected a Stable Diffusion checkpoint")
    if spec.variant is not None:
        raise MethodError(f"{file}: a single file has no variants; leave variant out")
    family = checkpoint_family(file)
    if spec.config is None:
        raise MethodError(
            f"{file}: a single file of {family} contains no configs and no tokenizer; set config to the "
            f"folder or the hub id of the model that it was made from, such as {EXAMPLE_CONFIGS[family]}"
        )
    folder = _configs(spec.config, fetch)
    expected, pipeline = _family(folder), _pipeline(folder)
    if family != expected:
        raise MethodError(f"{file}: the file is of {family}, but config {spec.config} is of {expected}")
    return CheckpointLocation(folder, pipeline, single=file.absolute())


def _configs(config: str, fetch: bool) -> Path:
    folder = Path(config).expanduser()
    if (folder / "model_index.json").is_file():
        return folder
    path, _, revision = config.partition("@")
    if folder.exists() or not _is_hub_id(path):
        raise MethodError(
            f"config {config}: no model_index.json there; expected a folder in diffusers' layout "
            "or a hub id with its commit, 'owner/name@commit'"
        )
    return _snapshot(
        path, revision or None, [f"{part}/*.{end}" for part in PARTS for end in ("json", "txt")], fetch
    )


def _snapshot(path: str, revision: str | None, patterns: list[str], fetch: bool) -> Path:
    """Return the folder of a hub id in huggingface_hub's cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise MethodError(
            f"backbone {path!r}: revision is {revision!r}; a hub id needs the 40 digits of a commit, "
            "because a branch name such as 'main' can point to other weights later"
        )
    try:
        return Path(
            snapshot_download(
                path,
                revision=revision,
                allow_patterns=["model_index.json", *patterns],
                # Weights for further training, and other frameworks.
                ignore_patterns=["*.non_ema*", "openvino*", "flax*"],
                local_files_only=not fetch,
            )
        )
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise MethodError(
            f"backbone {path!r}: neither a folder here nor in huggingface_hub's cache ({lines[0]}); "
            f"with network: hf download {path} --revision {revision}"
        ) from error


def _patterns(variant: str | None) -> list[str]:
    """Return the patterns of the files to download."""
    infix = f".{variant}" if variant else ""
    patterns = [f"{part}/*.{end}" for part in PARTS for end in ("json", "txt")]
    for part, stem in NETWORKS.items():
        patterns += [f"{part}/{stem}{infix}.safetensors", f"{part}/{stem}{infix}-*-of-*.safetensors"]
    return patterns


def _pipeline(folder: Path) -> str:
    name = _json(folder / "model_index.json").get("_class_name")
    if name not in PIPELINES:
        raise MethodError(f"{folder}: a {name}; expected one of {', '.join(PIPELINES)}")
    return str(name)


def _family(folder: Path) -> Family:
    if _pipeline(folder) == "StableDiffusionXLPipeline":
        return "sdxl"
    return "sd2" if _json(folder / "unet" / "config.json").get("use_linear_projection") else "sd1"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MethodError(f"{path}: cannot be read ({error}); get the backbone again") from error
    if not isinstance(content, dict):
        raise MethodError(f"{path}: not a JSON object; get the backbone again")
    return content


def _is_hub_id(path: str) -> bool:
    return path.count("/") == 1 and not path.startswith((".", "/", "~"))
