"""Speed of LoRA merged into its layers' matrices, compared with peft's layers, with the preset `embedded`.

Not in the default run: `pytest -o addopts=--import-mode=importlib tests/speed -k merged -s`.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.datasets.registry import open_people
from bench.suite.suite import open_suite
from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.dreambooth_lora.method import DreamBoothLora
from methods.presets import DREAMBOOTH

MIN_SPEEDUP = 1.1
"""Expected ratio of training speeds, merged / peft, in CPU time."""
STEPS = 12
ROUNDS = 3


@pytest.mark.usefixtures("one_thread")
def test_merged_lora_trains_faster_than_peft(benchmark: Any, tmp_path: Path) -> None:
    """Compares CPU time of a single thread, which hardly depends on the load of the machine."""
    file = open_suite("tiny-unet")
    subject = open_people(file.suite.dataset, file.base).chosen[0].subject
    backbone = Backbone.open(BackboneSpec(device="cpu", steps=1, batch=14))
    merged = DreamBoothLora(**{**DREAMBOOTH["embedded"].settings, "steps": STEPS})
    assert merged.merged

    def fit(method: DreamBoothLora) -> float:
        start = time.process_time()
        method.fit(subject, tmp_path, backbone=backbone, seed=0)
        return time.process_time() - start

    peft = replace(merged, merged=False)
    fit(peft)
    theirs, ours = [], []
    for _ in range(ROUNDS):
        theirs.append(fit(peft))
        ours.append(fit(merged))
    benchmark.pedantic(fit, (merged,), rounds=1)
    ratio = min(theirs) / min(ours)
    line = (
        f"{STEPS} steps: peft {min(theirs):.2f} s, merged {min(ours):.2f} s, {ratio:.2f}x ({MIN_SPEEDUP}x)\n"
    )
    sys.stderr.write(line)
    assert ratio > MIN_SPEEDUP, line
