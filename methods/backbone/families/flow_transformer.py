"""What the families with a transformer and rectified flow have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from methods.backbone.families.interface import Denoiser
from methods.backbone.families.text_features import TextFeatures
from methods.backbone.rectified_flow import STEPS, RectifiedFlow
from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError


class FlowTransformer(Denoiser):
    """A transformer that predicts the velocity of rectified flow."""

    part = "transformer"
    prompt_embeds: ClassVar[tuple[str, ...]] = ("prompt_embeds", "pooled_prompt_embeds")
    packing: ClassVar[int] = 1
    """Side of the square of latent pixels that the pipeline packs into one, with the channels of all."""
    reads_true_cfg: ClassVar[bool] = False
    """Whether the pipeline has `true_cfg_scale` beside the guidance that its network reads."""

    @classmethod
    def check_checkpoint(cls, pipe: Any, place: object) -> None:
        expected, channels = pipe.transformer.config.in_channels, pipe.vae.config.latent_channels
        if expected != channels * cls.packing**2:
            raise MethodError(
                f"{place}: the transformer has {expected} input channels and latents have {channels}; "
                "expected a text-to-image model, not one for inpainting or editing"
            )
        name, steps = type(pipe.scheduler).__name__, pipe.scheduler.config.get("num_train_timesteps")
        if name != "FlowMatchEulerDiscreteScheduler" or steps != STEPS:
            raise MethodError(
                f"{place}: {name} of {steps} timesteps is not supported; "
                f"expected FlowMatchEulerDiscreteScheduler of {STEPS}"
            )

    def check_settings(self, spec: BackboneSpec) -> None:
        unsupported = {
            "scheduler": spec.scheduler != "own",
            "guidance_rescale": spec.guidance_rescale > 0,
            "attention_slicing": spec.attention_slicing,
        }
        for name, is_set in unsupported.items():
            if is_set:
                value = getattr(spec, name)
                raise MethodError(
                    f"backbone: {name} = {value!r} is for U-Nets; leave it out for {self.family}"
                )

        if spec.true_cfg_scale != 1 and not self.reads_true_cfg:
            raise MethodError(f"backbone: true_cfg_scale is for flux; set guidance for {self.family}")
        if spec.max_sequence_length == 0 and not self.can_leave_out_tokens:
            raise MethodError(
                "backbone: max_sequence_length = 0 is for sd3 without T5; expected 1 to 512 tokens"
            )

    @property
    def can_leave_out_tokens(self) -> bool:
        """Whether the text may have no tokens at all."""
        return False

    @property
    def resolution(self) -> int:
        own: int = self.pipe.default_sample_size * self.pipe.vae_scale_factor
        return own

    @property
    def pixels(self) -> int:
        side: int = self.pipe.vae_scale_factor * self.packing
        return side

    def noise_schedule(self) -> RectifiedFlow:
        """As in diffusers' scripts, a constant shift applies in training, a shift by resolution does not."""
        config = self.pipe.scheduler.config
        return RectifiedFlow(shift=1.0 if config.use_dynamic_shifting else config.shift)

    def make_scheduler(self, spec: BackboneSpec) -> Any:
        own = self.pipe.scheduler
        changes: dict[str, Any] = {}
        if spec.use_karras_sigmas:
            changes["use_karras_sigmas"] = True
        if spec.shift is not None:
            changes |= {"shift": spec.shift, "use_dynamic_shifting": False}
        return type(own).from_config(own.config, **changes) if changes else own

    def conditioning(
        self,
        text: TextFeatures,
        *,
        resolution: int,
        time_ids: Tensor | None = None,
        guidance_scale: float = 1.0,
    ) -> dict[str, Any]:
        return {"encoder_hidden_states": text.tokens, "pooled_projections": text.pooled}

    def predict(self, x_t: Tensor, t: Tensor, arguments: Mapping[str, Any]) -> Tensor:
        velocity: Tensor = self.network(hidden_states=x_t, timestep=t, **arguments, return_dict=False)[0]
        return velocity
