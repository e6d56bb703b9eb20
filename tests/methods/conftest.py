"""A tiny Stable Diffusion and CLIP with random weights, in the published layouts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.dreambooth_lora.method import DreamBoothLora
from methods.encoders.clip_vision import open_encoder
from methods.encoders.resampler import new_resampler
from methods.interface import Checkpoints
from methods.ip_adapter.training import TrainableAdapter, save_adapter
from methods.leave_one_out.aggregators import AGGREGATORS
from methods.subject import Photo, Subject
from methods.tiny_sd.tokenizer import learn_tokenizer

# Folder of the fakes that the tests import.
sys.path.append(str(Path(__file__).parent / "fakes"))
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from tiny_adapters import leave_one_out_settings, write_checkpoint, write_faces  # isort: skip
from tiny_pipelines import FAMILIES, SmallFolders  # isort: skip
from tiny_transformers import FLOW_FAMILIES, FlowFolders  # isort: skip

WIDTH = 32
"""Width of the text encoder and of cross-attention."""

CAPTIONS = [
    f"a photo of a {noun}, {face}, wearing a {colour} shirt"
    for noun in ("man", "woman")
    for face in ("smiling", "sad")
    for colour in ("red", "blue")
]


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A v-prediction Stable Diffusion at 16 px."""
    folder = tmp_path_factory.mktemp("sd")
    tokenizer = learn_tokenizer(CAPTIONS, vocabulary=600)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipe = StableDiffusionPipeline(
            vae=AutoencoderKL(
                block_out_channels=(8, 8),
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                latent_channels=4,
                norm_num_groups=4,
                layers_per_block=1,
                sample_size=16,
                scaling_factor=0.7,
            ),
            text_encoder=CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=len(tokenizer),
                    hidden_size=WIDTH,
                    intermediate_size=32,
                    num_hidden_layers=2,
                    num_attention_heads=2,
                    max_position_embeddings=tokenizer.model_max_length,
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.eos_token_id,
                )
            ),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(
                sample_size=8,
                in_channels=4,
                out_channels=4,
                block_out_channels=(8, 16),
                layers_per_block=1,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                cross_attention_dim=WIDTH,
                attention_head_dim=2,
                norm_num_groups=4,
            ),
            scheduler=DDIMScheduler(
                steps_offset=1,
                beta_schedule="squaredcos_cap_v2",
                prediction_type="v_prediction",
                clip_sample=False,
                timestep_spacing="trailing",
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vision")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=3,
                num_attention_heads=2,
                image_size=16,
                patch_size=8,
                projection_dim=12,
            )
        )
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def shared_backbone(sd_folder: Path) -> Backbone:
    return Backbone.open(BackboneSpec(path=str(sd_folder), steps=2, guidance=3.0, batch=2, device="cpu"))


@pytest.fixture
def backbone(shared_backbone: Backbone) -> Backbone:
    """The shared backbone; fails for a change that an earlier test left on it."""
    assert shared_backbone.state.leftovers(shared_backbone.pipe) == []
    return shared_backbone


@pytest.fixture(scope="session")
def tiny_pipelines(tmp_path_factory: pytest.TempPathFactory) -> SmallFolders:
    """Read-only folders in the published layouts by family, `tiny_pipelines["sdxl"]`."""
    return SmallFolders(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="session", params=FAMILIES)
def shared_family_backbone(request: pytest.FixtureRequest, tiny_pipelines: SmallFolders) -> Backbone:
    folder = str(tiny_pipelines[request.param])
    return Backbone.open(BackboneSpec(path=folder, steps=2, guidance=3.0, batch=2, device="cpu"))


@pytest.fixture
def family_backbone(shared_family_backbone: Backbone) -> Backbone:
    """A tiny backbone of each family; fails for a change that an earlier test left on it."""
    assert shared_family_backbone.state.leftovers(shared_family_backbone.pipe) == []
    return shared_family_backbone


@pytest.fixture(scope="session")
def flow_folders(tmp_path_factory: pytest.TempPathFactory) -> FlowFolders:
    """Read-only folders of transformers in the published layouts by family, `flow_folders["sd3"]`."""
    return FlowFolders(tmp_path_factory.mktemp("flow"))


@pytest.fixture(scope="session", params=FLOW_FAMILIES)
def shared_flow_backbone(request: pytest.FixtureRequest, flow_folders: FlowFolders) -> Backbone:
    return flow_folders.backbone(request.param)


@pytest.fixture
def flow_backbone(shared_flow_backbone: Backbone) -> Backbone:
    """A tiny backbone of each family with a transformer; fails for a change that an earlier test left."""
    assert shared_flow_backbone.state.leftovers(shared_flow_backbone.pipe) == []
    return shared_flow_backbone


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: with tiny networks, thread start-up dominates."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise_picture(seed: int, size: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))


@pytest.fixture(scope="session")
def subject() -> Subject:
    captions = ("smiling", "sad, wearing a red shirt", "wearing a blue shirt")
    photos = (Photo(noise_picture(i, 20), f"a photo of {{subject}}, {c}") for i, c in enumerate(captions))
    return Subject("ada", "woman", tuple(photos))


@pytest.fixture(scope="session")
def face_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in insightface's layout, whose detector finds a face in every bright area."""
    return write_faces(tmp_path_factory.mktemp("models") / "buffalo_tiny")


@pytest.fixture(scope="session")
def settings(
    subject: Subject,
    shared_backbone: Backbone,
    clip_folder: Path,
    face_models: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, object]]:
    """Settings of each method for the tiny backbone: few steps, random weights of the right shape."""
    folder = tmp_path_factory.mktemp("adapters")
    encoder = open_encoder(clip_folder, shared_backbone.device)
    chosen: dict[str, dict[str, object]] = {
        "dreambooth-lora": {"steps": 3, "class_pictures": 2, "learning_rate": 1e-2, "prior_weight": 1.0},
        "ti-lora": {"steps": 4, "batch": 1, "learning_rate": 1e-2, "text_learning_rate": 0.2, "rank": 4},
        "lora-folder": {"path": str(folder / "loras")},
        "textual-inversion-folder": {"path": str(folder / "embeddings")},
        "image-folder": {"path": str(folder / "made-elsewhere")},
        "textual-inversion": {"steps": 2, "accumulation": 1, "learning_rate": 0.2},
        "ip-adapter": {"adapter": str(folder / "ip.safetensors"), "encoder": str(clip_folder)},
        "ip-adapter-faceid": {
            "adapter": str(write_checkpoint(folder, "faceid", shared_backbone.pipe.unet, clip=encoder.model)),
            "faces": str(face_models),
            "detector_size": 64,
        },
    }
    made = folder / "made-elsewhere" / subject.id
    made.mkdir(parents=True)
    for sample in (1, 2, 11, 12, 13):
        prompt = "smile" if sample == 12 else "shirt"
        noise_picture(sample, 16).save(made / f"{prompt}.s{sample}.png")
    (folder / "embeddings").mkdir()
    rows = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(8))
    torch.save(
        {"string_to_param": {"*": rows}, "name": subject.id}, folder / "embeddings" / f"{subject.id}.pt"
    )
    published = folder / "loras" / subject.id
    published.mkdir(parents=True)
    lora = DreamBoothLora(steps=2, learning_rate=2e-2)
    lora.learn(subject, Checkpoints({2: published}), backbone=shared_backbone, seed=9)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        resampler = new_resampler(patch_width=encoder.width, width=WIDTH, tokens=3, hidden=64)
        adapter = TrainableAdapter(shared_backbone.attention, resampler, 3)
        save_adapter(folder / "ip.safetensors", adapter.published(), {"backbone": shared_backbone.digest})
        for name in AGGREGATORS:
            file = folder / f"{name}.safetensors"
            chosen[f"loo-{name}"] = leave_one_out_settings(name, shared_backbone, clip_folder, file)
    return chosen


@dataclass(frozen=True)
class RandomPeople:
    """A training set of noise, in which people differ by colour."""

    pixels: NDArray[np.uint8]
    identities: NDArray[np.int64]

    @classmethod
    def make(cls, people: int, photos: int, *, size: int = 16) -> RandomPeople:
        rng = np.random.default_rng(0)
        colours = rng.integers(0, 256, (people, 1, 1, 1, 3))
        grain = rng.integers(-20, 20, (people, photos, size, size, 3))
        pixels = (colours + grain).clip(0, 255).astype(np.uint8).reshape(-1, size, size, 3)
        return cls(pixels, np.repeat(np.arange(people), photos))

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        return str(rng.choice(CAPTIONS))

    def template(self, row: int, *, mirrored: bool) -> str:
        return "a photo of {subject}"

    def noun(self, row: int) -> str:
        return "man"

    def original_size(self, row: int) -> tuple[int, int]:
        height, width = self.pixels.shape[1:3]
        return height, 2 * width


@pytest.fixture(scope="session")
def people() -> RandomPeople:
    return RandomPeople.make(6, 4)
