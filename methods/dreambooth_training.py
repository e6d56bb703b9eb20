"""The loop of DreamBooth-LoRA: all that is frozen is computed before it, all it leaves is one LoRA file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from bench.torchvision_ops import ensure_torchvision_imports
from methods.backbone import Backbone
from methods.backbone_files import quiet
from methods.interface import MethodError
from methods.training import autocast, generator_of

ensure_torchvision_imports()

from diffusers import StableDiffusionPipeline  # noqa: E402
from diffusers.utils import convert_state_dict_to_diffusers  # noqa: E402
from peft import LoraConfig  # noqa: E402
from peft.utils import get_peft_model_state_dict  # noqa: E402

ADAPTER: Final = "person"
FILE: Final = "pytorch_lora_weights.safetensors"
TEXT_TARGETS: Final = ["q_proj", "k_proj", "v_proj", "out_proj"]


@dataclass(frozen=True)
class Instances:
    """The person's photographs."""

    latents: Tensor
    """(n, C, h, w)."""
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class ClassPictures:
    """The backbone's own idea of the person's noun."""

    latents: Tensor
    """(m, C, h, w)."""
    prompt: str


@dataclass(frozen=True)
class LoraTraining:
    """What is trained, how long and how fast."""

    steps: int
    batch: int
    learning_rate: float
    text_learning_rate: float | None
    """None leaves the text encoder frozen."""
    weight_decay: float
    rank: int
    alpha: float
    targets: tuple[str, ...]
    prior_weight: float
    min_snr: float | None


def train_lora(
    backbone: Backbone,
    instances: Instances,
    classes: ClassPictures | None,
    training: LoraTraining,
    into: Path,
    *,
    seed: int,
) -> None:
    """Minimise L(photos) + prior_weight L(class pictures) (Ruiz et al. 2023, eq. 2); write the LoRA."""
    text = _Prompts(backbone, instances, classes, frozen=training.text_learning_rate is None)
    with backbone.clean(), _trainable(backbone, training, seed) as groups:
        optimizer = torch.optim.AdamW(groups, weight_decay=training.weight_decay)
        parameters = [p for group in groups for p in group["params"]]
        for step in range(training.steps):
            with autocast(backbone.device):
                loss = _loss(backbone, text, instances, classes, training, generator_of(seed, step))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if not all(bool(p.isfinite().all()) for p in parameters):
            raise MethodError("dreambooth-lora: the weights are no longer finite; lower learning_rate")
        _save(backbone, into, text_too=training.text_learning_rate is not None)


class _Prompts:
    """Tokens of the prompts: from the cache, or anew where the text encoder learns."""

    def __init__(
        self, backbone: Backbone, instances: Instances, classes: ClassPictures | None, *, frozen: bool
    ) -> None:
        self.prompts = [*instances.prompts, *([classes.prompt] if classes else [])]
        self.backbone = backbone
        self.cached = backbone.encode_text(self.prompts).tokens if frozen else None

    def tokens(self, rows: Tensor) -> Tensor:
        """(B, L, D) of the prompts numbered `rows`; the class prompt is the last."""
        if self.cached is not None:
            return self.cached[rows.to(self.cached.device)]
        tokenizer, encoder = self.backbone.pipe.tokenizer, self.backbone.pipe.text_encoder
        ids = tokenizer(
            [self.prompts[row] for row in rows.tolist()],
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        tokens: Tensor = encoder(ids.to(self.backbone.device)).last_hidden_state
        return tokens


def _loss(
    backbone: Backbone,
    text: _Prompts,
    instances: Instances,
    classes: ClassPictures | None,
    training: LoraTraining,
    generator: torch.Generator,
) -> Tensor:
    count = training.batch
    rows = torch.randint(len(instances.latents), (count,), generator=generator)
    latents = instances.latents[rows.to(instances.latents.device)]
    weights = torch.ones(count)
    if classes is not None:
        others = torch.randint(len(classes.latents), (count,), generator=generator)
        latents = torch.cat([latents, classes.latents[others.to(classes.latents.device)]])
        rows = torch.cat([rows, torch.full((count,), len(instances.prompts))])
        weights = torch.cat([weights, torch.full((count,), training.prior_weight)])
    t = torch.randint(backbone.noise.steps, (len(rows),), generator=generator).to(backbone.device)
    eps = torch.randn(latents.shape, generator=generator).to(backbone.device)
    latents = latents.float()
    predicted = backbone.unet(
        backbone.noise.add(latents, eps, t).to(backbone.dtype),
        t,
        encoder_hidden_states=text.tokens(rows),
        return_dict=False,
    )[0]
    each = (predicted.float() - backbone.noise.target(latents, eps, t)).square().mean(dim=(1, 2, 3))
    each = each * backbone.noise.weight(t, training.min_snr) * weights.to(backbone.device)
    loss: Tensor = each.sum() / count
    return loss


@contextmanager
def _trainable(backbone: Backbone, training: LoraTraining, seed: int) -> Iterator[list[dict[str, Any]]]:
    """The backbone with fresh LoRA layers on it; yields the optimizer's parameter groups."""
    pipe, groups = backbone.pipe, []
    chosen: list[tuple[Any, list[str], float]] = [(pipe.unet, list(training.targets), training.learning_rate)]
    if training.text_learning_rate is not None:
        chosen.append((pipe.text_encoder, TEXT_TARGETS, training.text_learning_rate))
    try:
        # peft draws the first weights from the global generator.
        with torch.random.fork_rng(), quiet():
            torch.manual_seed(seed)
            for module, targets, rate in chosen:
                groups.append({"params": _add_lora(module, targets, training), "lr": rate})
        yield groups
    finally:
        pipe.unload_lora_weights()


def _add_lora(module: Any, targets: list[str], training: LoraTraining) -> list[nn.Parameter]:
    config = LoraConfig(
        r=training.rank, lora_alpha=training.alpha, init_lora_weights="gaussian", target_modules=targets
    )
    try:
        module.add_adapter(config, adapter_name=ADAPTER)
    except ValueError as error:
        raise MethodError(
            f"dreambooth-lora: no layer of the backbone is called {', '.join(targets)}"
        ) from error
    parameters = [p for p in module.parameters() if p.requires_grad]
    for p in parameters:
        # A half-precision backbone's updates would round to nothing.
        p.data = p.data.float()
    return parameters


def _save(backbone: Backbone, into: Path, *, text_too: bool) -> None:
    """diffusers' own layout: `pipe.load_lora_weights(folder)` reads it.

    The U-Net's names stay peft's: diffusers' own conversion renames attention only, and its loader judges
    a whole file by its first name, so a file of both kinds would silently lose one of them.
    """

    def layers(module: Any) -> Any:
        return get_peft_model_state_dict(module, adapter_name=ADAPTER)

    def metadata(module: Any) -> dict[str, Any]:
        config = module.peft_config[ADAPTER].to_dict()
        return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}

    pipe = backbone.pipe
    text: dict[str, Any] = {}
    if text_too:
        text = {
            "text_encoder_lora_layers": convert_state_dict_to_diffusers(layers(pipe.text_encoder)),
            "text_encoder_lora_adapter_metadata": metadata(pipe.text_encoder),
        }
    StableDiffusionPipeline.save_lora_weights(
        into,
        unet_lora_layers=layers(pipe.unet),
        unet_lora_adapter_metadata=metadata(pipe.unet),
        weight_name=FILE,
        **text,
    )
