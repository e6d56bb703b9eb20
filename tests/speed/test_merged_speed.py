"""LoRA inside its layers' matrices beside peft's own way, on the embedded world's recipe and in one process.

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

WANTED = 1.1
"""Steps per second of the processor, in peft's."""
STEPS = 12
ROUNDS = 3


@pytest.mark.usefixtures("one_thread")
def test_merged_learns_faster_than_beside(benchmark: Any, tmp_path: Path) -> None:
    """The processor's time of this process's only thread, which other work on the machine moves little."""
    file = open_suite("tiny")
    subject = open_people(file.suite.dataset, file.base).chosen[0].subject
    backbone = Backbone.open(BackboneSpec(device="cpu", steps=1, batch=14))
    merged = DreamBoothLora(**{**DREAMBOOTH["embedded"].settings, "steps": STEPS})
    assert merged.merged

    def fit(method: DreamBoothLora) -> float:
        start = time.process_time()
        method.fit(subject, tmp_path, backbone=backbone, seed=0)
        return time.process_time() - start

    beside = replace(merged, merged=False)
    fit(beside)
    theirs, ours = [], []
    for _ in range(ROUNDS):
        theirs.append(fit(beside))
        ours.append(fit(merged))
    benchmark.pedantic(fit, (merged,), rounds=1)
    ratio = min(theirs) / min(ours)
    line = f"{STEPS} steps: peft {min(theirs):.2f} s, merged {min(ours):.2f} s, {ratio:.2f}x ({WANTED}x)\n"
    sys.stderr.write(line)
    assert ratio > WANTED, line
