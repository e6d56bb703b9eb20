"""Find a backbone's files: a folder, a hub snapshot, or a single file. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from methods.backbone.families.catalog import PIPELINES, STEMS
from methods.backbone.families.single_file import EXAMPLE_CONFIGS, checkpoint_family, config_family
from methods.backbone.spec import EMBEDDED_FLOW, SHIPPED_BACKBONES, BackboneSpec, TextLimit
from methods.compute.checkpoint_files import json_object, weight_files
from methods.compute.hub import is_hub_id, snapshot
from methods.errors import MethodError
from methods.shipped import WEIGHTS

PARTS: Final = tuple(dict.fromkeys(part for layout in PIPELINES.values() for part in layout.parts))
"""The parts of all supported pipelines."""
CONFIGS: Final = (".json", ".txt", ".jinja")
"""Ends of the names of configs, tokenizers and chat templates."""


@dataclass(frozen=True)
class CheckpointLocation:
    """The files of one backbone."""

    folder: Path
    """Folder of the configs and tokenizers, and of the weights that are not in a single file."""
    pipeline: str
    """The class name in model_index.json."""
    parts: tuple[str, ...]
    """The parts of the pipeline that the checkpoint has, such as `unet`, `vae`, `tokenizer`."""
    single: Path | None = None
    """The file with all weights, or those of the transformer, under the original names."""
    variant: str | None = None
    vae: Path | None = None
    """Folder of an autoencoder that replaces the checkpoint's own."""

    @property
    def denoiser(self) -> str:
        """The class of the family, `module:Class`."""
        return PIPELINES[self.pipeline].denoiser

    def text_limits(self, max_sequence_length: int | None) -> tuple[TextLimit, ...]:
        """How much of a prompt each text encoder reads, with this setting of the spec."""
        return PIPELINES[self.pipeline].text_limits(self.parts, max_sequence_length)

    @property
    def vae_config(self) -> Path:
        """The folder of the autoencoder's config."""
        return self.vae or self.folder / "vae"

    @property
    def place(self) -> Path:
        """The path to show to the user: the single file or the folder."""
        return self.single or self.folder

    @property
    def weights(self) -> tuple[Path, ...]:
        """The weight files that are loaded, and no others."""
        networks = [part for part in self.parts if part in STEMS]
        return tuple(dict.fromkeys(path for part in networks for path in self.part_files(part)))

    def in_single_file(self, part: str) -> bool:
        """Whether a network is read from the single file: of a transformer's pipeline only that itself."""
        return self.single is not None and (part == "transformer" or "transformer" not in self.parts)

    def part_files(self, part: str) -> tuple[Path, ...]:
        """The weight files of one part's network, or all files of a tokenizer or scheduler.

        Raises MethodError where the part is missing or incomplete.
        """
        if part == "vae" and self.vae is not None:
            return weight_files(self.vae, STEMS["vae"], None)
        if self.single is not None and part in STEMS and self.in_single_file(part):
            return (self.single,)
        folder = self.folder / part
        if not folder.is_dir():
            raise MethodError(f"{folder}: no such folder; get the backbone again, with all its parts")
        if part in STEMS:
            return weight_files(folder, STEMS[part], self.variant)
        if files := tuple(sorted(path for path in folder.iterdir() if path.is_file())):
            return files
        raise MethodError(f"{folder}: the folder is empty; get the backbone again, with all its parts")

    def digest(self) -> str:
        """SHA-256 over the weight files' names and bytes.

        Of a single file and of another autoencoder only the bytes count, not the name.
        """
        from methods.compute.loading import file_digest

        digest = hashlib.sha256()
        for path in sorted(path for path in self.weights if path.suffix == ".safetensors"):
            if path != self.single and path.is_relative_to(self.folder):
                digest.update(path.relative_to(self.folder).as_posix().encode())
            digest.update(file_digest(path))
        return digest.hexdigest()

    def files(self) -> tuple[Path, ...]:
        """All files of the backbone: weights, configs, tokenizers."""
        index = self.folder / "model_index.json"
        folders = [self.folder / part for part in self.parts if part != "vae"]
        inside = [path for folder in (*folders, self.vae_config) for path in folder.rglob("*")]
        configs = [p for p in inside if p.suffix in CONFIGS and not p.name.endswith(".index.json")]
        return tuple(sorted({index, *configs, *self.weights}))


def locate_checkpoint(spec: BackboneSpec, *, fetch: bool, check: bool = True) -> CheckpointLocation:
    """Find the backbone; `fetch` allows downloads, `check` refuses a backbone with missing parts.

    Raises MethodError with the next step in one line.
    """
    location = _locate(spec, fetch)
    if spec.vae is not None:
        location = replace(location, vae=_vae(spec.vae, fetch))
    if check:
        for part in location.parts:
            location.part_files(part)
    return location


def _locate(spec: BackboneSpec, fetch: bool) -> CheckpointLocation:
    path = Path(spec.path).expanduser()
    if path.suffix in (".safetensors", ".ckpt", ".pt", ".pth", ".bin") and not path.is_dir():
        return _single_file(spec, fetch)
    if spec.config is not None:
        raise MethodError(f"{spec.path}: config is only for a single .safetensors file; leave it out")
    folder = _folder(spec, fetch)
    return CheckpointLocation(folder, *_pipeline(folder, t5=spec.t5), variant=spec.variant)


def _folder(spec: BackboneSpec, fetch: bool) -> Path:
    folder = (WEIGHTS if spec.path in SHIPPED_BACKBONES else Path()) / Path(spec.path).expanduser()
    if (folder / "model_index.json").is_file():
        return folder
    if folder.exists():
        raise MethodError(f"{folder}: no model_index.json; expected a folder in diffusers' layout")
    if spec.path in SHIPPED_BACKBONES:
        made_by = "bench train backbone" + (" --family flow" if spec.path == EMBEDDED_FLOW else "")
        raise MethodError(f"{folder}: the backbone {spec.path} is missing; make it with '{made_by}'")
    if not is_hub_id(spec.path):
        raise MethodError(f"{folder}: no such folder; give one, a hub id, a .safetensors file, or 'embedded'")
    return snapshot(spec.path, spec.revision, ["model_index.json", *_patterns(spec.variant)], fetch)


def _single_file(spec: BackboneSpec, fetch: bool) -> CheckpointLocation:
    file = Path(spec.path).expanduser()
    if file.suffix != ".safetensors":
        raise MethodError(
            f"{file}: only .safetensors checkpoints are supported, because a pickle can run code; convert it"
        )
    if not file.is_file():
        raise MethodError(f"{file}: no such file; expected a checkpoint")
    if spec.variant is not None:
        raise MethodError(f"{file}: a single file has no variants; leave variant out")
    family = checkpoint_family(file)
    if spec.config is None:
        raise MethodError(
            f"{file}: a single file of {family} contains no configs and no tokenizer; set config to the "
            f"folder or the hub id of the model that it was made from, such as {EXAMPLE_CONFIGS[family]}"
        )
    folder = _configs(spec.config, fetch, weights=family in ("sd3", "flux"))
    pipeline, parts = _pipeline(folder, t5=spec.t5)
    expected = config_family(pipeline, json_object(folder / parts[0] / "config.json"))
    if family != expected:
        raise MethodError(f"{file}: the file is of {family}, but config {spec.config} is of {expected}")
    return CheckpointLocation(folder, pipeline, parts, single=file.absolute())


def _vae(vae: str, fetch: bool) -> Path:
    """The folder of another autoencoder: config.json and weights, or a pipeline's folder `vae`."""
    folder, (path, _, revision) = Path(vae).expanduser(), vae.partition("@")
    if not folder.exists() and is_hub_id(path):
        stem = STEMS["vae"]
        patterns = ["config.json", *(f"{stem}{end}" for end in (".safetensors*", "-*-of-*.safetensors"))]
        folder = snapshot(path, revision or None, patterns, fetch)
    for place in (folder, folder / "vae"):
        if (place / "config.json").is_file():
            return place
    raise MethodError(
        f"vae {vae}: no config.json there; expected the folder of an AutoencoderKL in diffusers' layout "
        "or a hub id with its commit, 'owner/name@commit'"
    )


def _configs(config: str, fetch: bool, *, weights: bool) -> Path:
    """The folder of a single file's configs; `weights`: with the weights of all but the transformer."""
    folder = Path(config).expanduser()
    if (folder / "model_index.json").is_file():
        return folder
    path, _, revision = config.partition("@")
    if folder.exists() or not is_hub_id(path):
        raise MethodError(
            f"config {config}: no model_index.json there; expected a folder in diffusers' layout "
            "or a hub id with its commit, 'owner/name@commit'"
        )
    stems = {part: stem for part, stem in STEMS.items() if part != "transformer"} if weights else {}
    return snapshot(path, revision or None, ["model_index.json", *_patterns(None, stems)], fetch)


def _patterns(variant: str | None, stems: Mapping[str, str] = STEMS) -> list[str]:
    """Return the patterns of the files to download: configs of all parts, weights of those in `stems`."""
    infix = f".{variant}" if variant else ""
    patterns = [f"{part}/*{end}" for part in PARTS for end in CONFIGS]
    for part, stem in stems.items():
        patterns += [f"{part}/{stem}{infix}.safetensors", f"{part}/{stem}{infix}-*-of-*.safetensors"]
    return patterns


def _pipeline(folder: Path, *, t5: bool = True) -> tuple[str, tuple[str, ...]]:
    """The pipeline's class name and its parts."""
    index = json_object(folder / "model_index.json")
    name = index.get("_class_name")
    if name not in PIPELINES:
        raise MethodError(f"{folder}: a {name}; expected one of {', '.join(PIPELINES)}")
    layout = PIPELINES[str(name)]
    if not t5 and not layout.optional:
        raise MethodError(f"{folder}: t5 = false is for Stable Diffusion 3, this is a {name}; leave it out")
    return str(name), layout.present(index, t5=t5)
