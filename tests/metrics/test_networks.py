"""The table of encoders: every entry states its origin, and finds the weights that its class opens."""

import re
from pathlib import Path
from typing import Any

import pytest

from metrics.catalog import METRICS, make
from metrics.encoders.runtime.weight_files import SHIPPED, sha256
from metrics.networks import ENCODERS

PATH_REQUIRED = ("clip", "dinov2")
FOUND = [name for name, entry in ENCODERS.items() if entry.origin.found()]


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_states_source_licence_and_training_data(name: str) -> None:
    origin = ENCODERS[name].origin
    assert origin.source
    assert origin.licence
    assert origin.trained_on
    assert bool(origin.places()) == (name not in PATH_REQUIRED)


def test_everything_that_needs_nothing_is_on_this_machine() -> None:
    assert {name for name, entry in ENCODERS.items() if not entry.needs} <= set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_the_place_in_the_table_is_the_one_that_the_encoder_opens(name: str) -> None:
    metric = next(full for full, entry in METRICS.items() if entry.encoder == name and not entry.parts)
    samples, sets = make([metric])
    (built,) = [*samples, *sets]
    network: Any = next(part for part in vars(built).values() if getattr(part, "name", "") == name)
    assert network._path == ENCODERS[name].origin.found()


def test_a_missing_file_is_not_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert ENCODERS["arcface"].origin.found() is None
    (tmp_path / ".insightface" / "models" / "buffalo_l").mkdir(parents=True)
    assert ENCODERS["arcface"].origin.found() == tmp_path / ".insightface" / "models" / "buffalo_l"
    assert ENCODERS["lpips-alex"].origin.found() == SHIPPED / "lpips-alex.safetensors"
    assert ENCODERS["lpips-squeeze"].origin.found() is None


def test_torch_hub_is_the_folder_of_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from metrics.encoders.runtime.usual_places import torch_hub

    for variables in ({"TORCH_HOME": str(tmp_path)}, {"XDG_CACHE_HOME": str(tmp_path)}, {}):
        for variable in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(variable, raising=False)
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        assert torch_hub() == Path(torch.hub.get_dir()) / "checkpoints"


def test_the_card_names_the_shipped_files_of_others_by_digest() -> None:
    card = (SHIPPED / "third-party.md").read_text(encoding="utf-8")
    digests = dict(re.findall(r"^\| `([\w.-]+)` \| [\d.]+ MB \| `(\w{16})` \|", card, re.MULTILINE))
    assert set(digests) == {"mobilefacenet.onnx", "lpips-alex.safetensors"}
    licences = (SHIPPED / "third-party-licences.txt").read_text(encoding="utf-8")
    for file, digest in digests.items():
        assert sha256(SHIPPED / file).startswith(digest)
        assert f"{file}:" in licences
