"""The suites on transformers with random weights in the published layouts: plan, doctor, all rows."""

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from celeba_files import WriteCelebA

from bench.doctor.diagnosis import with_source
from bench.doctor.library_checks import backbone_findings
from bench.suite.suite import open_suite

sys.path.append(str(Path(__file__).parents[2] / "methods" / "fakes"))
from tiny_pipelines import SIDE
from tiny_transformers import CLIP_EMBEDDING, WRITERS, spec_of, write_flux_adapter
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from methods.backbone.backbone import Backbone
from methods.encoders.clip_vision import open_encoder
from methods.ip_adapter.training import IPAdapterTraining, new_adapter, save_adapter
from methods.leave_one_out.network import LeaveOneOutNetwork, NetworkConfig, save_network

LAYOUTS = {
    "celeba-sd35": "sd3",
    "celeba-flux": "flux",
    "celeba-kontext": "flux-kontext",
    "celeba-flux2-klein": "flux2",
}
PARTS = {
    "celeba-sd35": {
        *("transformer", "vae", "scheduler", "text_encoder", "text_encoder_2", "text_encoder_3"),
        *("tokenizer", "tokenizer_2", "tokenizer_3"),
    },
    "celeba-flux": {
        *("transformer", "vae", "scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"),
    },
    "celeba-flux2-klein": {"transformer", "vae", "scheduler", "text_encoder", "tokenizer"},
}
SMALL = {
    r"identities = 10": "identities = 1",
    r"count = 18": "count = 1",
    r"priors = 3": "priors = 1",
    r"recaptions = 2": "recaptions = 0",
    r"samples = 2": "samples = 1",
    r"steps = 28": "steps = 1\nmax_sequence_length = 16",
    r"steps = 50": "steps = 1\nmax_sequence_length = 64",
    r"resolution = 1024": f"resolution = {SIDE}",
    r"batch = 4": "batch = 2",
    r"(preset = \"faces-sd3\")": r"\1\nsteps = 1\nclass_pictures = 2",
    r"(preset = \"(?:ai-toolkit|diffusers-readme)-.*\")": r"\1\nsteps = 1",
    r"mixed_precision = .*\n": "",
    r"(?s)metrics = \[.*?\n\]": 'metrics = ["fake_metrics:Likeness"]',
    r"(?s)\[encoders.*(?=\[needs\])": "",
}
"""Changes of a suite's text that leave rows, presets and families as they are."""


AGGREGATORS = ("mean", "attention", "caption-attention")
SHORT = {
    "--steps": "2",
    "--batch": "2",
    "--accumulate": "2",
    "--side": str(SIDE),
    "--people": "2",
    "--tokens": "2",
    "--hidden": "64",
    "--depth": "1",
    "--dtype": "fp32",
}
"""Options of a suite's training command for a small backbone on a CPU; the other options are kept."""
ENCODERS = {"celeba-sd35": "siglip-so400m-patch14-384", "celeba-flux": "clip-vit-large-patch14"}
TRAININGS = {
    "celeba-sd35": IPAdapterTraining("time-resampler", tokens=2, hidden=64),
    "celeba-flux": IPAdapterTraining("double-blocks", tokens=4),
}


def write_adapters(models: Path, name: str, backbone: Path) -> None:
    """The adapters of a suite as its commands download and train them, untrained, and an encoder."""
    encoder = models / ENCODERS[name]
    write_encoder(encoder)
    if name == "celeba-flux":
        published = models / "flux-ip-adapter-v2" / "ip_adapter.safetensors"
        published.parent.mkdir(parents=True)
        write_flux_adapter(published, blocks=2)
    opened = Backbone.open(spec_of(backbone))
    adapter = new_adapter(TRAININGS[name], opened, open_encoder(encoder, opened.device))
    for row in ("ip-control", "ip-leave-one-out"):
        path = models / name.replace("celeba", "loo") / f"{row}.safetensors"
        save_adapter(path, adapter.published(), {"backbone": opened.digest})
    for aggregator in AGGREGATORS:
        path = models / name.replace("celeba", "loo") / f"loo-{aggregator}.safetensors"
        write_aggregator(path, aggregator, opened, encoder)


def write_aggregator(path: Path, aggregator: str, backbone: Backbone, encoder: Path) -> None:
    opened = open_encoder(encoder, backbone.device)
    config = NetworkConfig(
        aggregator,
        patch_width=opened.width,
        caption_width=backbone.encode_text(["a man"]).pooled.shape[1],
        width=backbone.adapter_attention.token_width,
        tokens=2,
        hidden=64,
        depth=1,
        family=backbone.family,
        backbone=backbone.digest,
        encoder_digest=opened.digest,
    )
    network = LeaveOneOutNetwork(config, backbone.adapter_attention)
    save_network(path, network, config, dtype=torch.float16)


def write_encoder(folder: Path) -> None:
    """A whole CLIP."""
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    vision = CLIPVisionConfig(**tower, image_size=16, patch_size=8, projection_dim=CLIP_EMBEDDING)
    text = CLIPTextConfig(**tower)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=CLIP_EMBEDDING)
    CLIPModel(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("backbones")
    for layout in LAYOUTS.values():
        WRITERS[layout](root / layout)
    return root


@pytest.fixture
def small(tmp_path: Path, folders: Path, celeba: WriteCelebA) -> Callable[[str], Path]:
    """The file of a suite with one person, one prompt, one step and a small backbone."""

    def write(name: str) -> Path:
        people = celeba({7: ("test", 20), 8: ("train", 5)})
        text = open_suite(name).text
        for pattern, new in SMALL.items():
            text = re.sub(pattern, new, text)
        text = re.sub(r'path = "\S+/\S+"\nrevision = ".*"', f'path = "{folders / LAYOUTS[name]}"', text)
        if name in ENCODERS:
            write_adapters(tmp_path / "models", name, folders / LAYOUTS[name])
        file = tmp_path / f"{name}.toml"
        file.write_text(text.replace("data/celeba", str(people)))
        return file

    return write


@pytest.mark.parametrize("name", LAYOUTS)
def test_all_rows_of_the_suite_run_on_small_random_weights(
    name: str, small: Callable[[str], Path], bench: Callable[..., int], tmp_path: Path
) -> None:
    rows = open_suite(name).suite.rows
    assert rows
    assert bench("run", "--suite", small(name), "--out", tmp_path / "run", "--workers", 1) == 0
    images = tmp_path / "run" / "images"
    assert {path.relative_to(images).parts[0] for path in images.rglob("*.s1.png")} == set(rows)


def test_training_command_of_the_suite_makes_the_weights_of_its_row(
    folders: Path, celeba: WriteCelebA, bench: Callable[..., int], tmp_path: Path
) -> None:
    """On Stable Diffusion 3; FLUX.1's 512 tokens of T5 take a minute."""
    row = "loo-caption-attention"
    suite = open_suite("celeba-sd35").suite
    people = celeba({7: ("train", 3), 8: ("train", 3), 9: ("train", 3), 10: ("valid", 2)})
    write_encoder(tmp_path / suite.methods[row]["encoder"])
    (path,) = [path for path in suite.needs.sources if path.endswith(f"/{row}.safetensors")]
    words = shlex.split(suite.needs.sources[path].partition(" (")[0])[1:]
    changes = {**SHORT, "--root": str(people), "--base": str(folders / LAYOUTS["celeba-sd35"])}
    for option, value in changes.items():
        if option in words:
            words[words.index(option) + 1] = value
    assert bench(*words, "--device", "cpu") == 0
    assert (tmp_path / path).is_file()


@pytest.mark.parametrize("name", LAYOUTS)
def test_plan_of_the_suite_is_printed(
    name: str, small: Callable[[str], Path], bench: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("run", "--suite", small(name), "--dry-run", "--cells") == 0
    cells = [line for line in capsys.readouterr().out.splitlines() if line.startswith("text-only/")]
    assert len(cells) == 2


@pytest.mark.parametrize("name", PARTS)
def test_doctor_lists_every_part_of_the_backbone(
    name: str, small: Callable[[str], Path], folders: Path
) -> None:
    spec = open_suite(str(small(name))).suite.backbone
    parts = {line.what: line for line in backbone_findings(spec)}
    assert set(parts) == PARTS[name]
    assert all(line.met for line in parts.values())
    weights = folders / LAYOUTS[name] / "transformer" / "diffusion_pytorch_model.safetensors"
    assert parts["transformer"].detail == f"{weights.parent}: 1 file, {weights.stat().st_size / 1e9:.2f} GB"


def test_doctor_names_each_missing_part_and_its_source(
    small: Callable[[str], Path], folders: Path, tmp_path: Path
) -> None:
    file, partial = small("celeba-sd35"), tmp_path / "partial"
    shutil.copytree(folders / "sd3", partial)
    shutil.rmtree(partial / "text_encoder_3")
    (partial / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    for path in (partial / "tokenizer_3").iterdir():
        path.unlink()
    text = file.read_text().replace(str(folders / "sd3"), str(partial))
    file.write_text(text.replace('"stabilityai/stable-diffusion-3.5-medium"', f'"{partial}"'))
    suite = open_suite(str(file)).suite
    findings = [with_source(line, suite.needs.sources) for line in backbone_findings(suite.backbone)]
    missing = {line.what: line for line in findings if not line.met}
    assert set(missing) == {"transformer", "text_encoder_3", "tokenizer_3"}
    assert "no diffusion_pytorch_model.safetensors" in missing["transformer"].detail
    assert "no such folder" in missing["text_encoder_3"].detail
    assert "the folder is empty" in missing["tokenizer_3"].detail
    assert all("gated: accept the Stability AI" in line.source for line in missing.values())
