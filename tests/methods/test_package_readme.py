"""The package's README: its example method runs, and its table lists every method."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import methods
from methods.backbone.backbone import Backbone
from methods.catalog import METHODS, make
from methods.subject import Request, Subject

README = (Path(str(methods.__file__)).parent / "README.md").read_text(encoding="utf-8")


def test_example_method_generates_an_image(
    subject: Subject, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    (tmp_path / "described.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    method = make("described:Described")
    into = tmp_path / "fit"
    into.mkdir()
    assert method.unsupported_reason(subject) is None
    method.fit(subject, into, backbone=backbone, seed=1)
    (image,) = method.load(into, backbone=backbone).generate([Request("a photo of {subject}", 3)])
    (expected,) = backbone.generate(["a photo of an old woman"], [3])
    assert image.tobytes() == expected.tobytes()


def test_every_method_is_listed() -> None:
    assert all(f"`{name}`" in README for name in METHODS)
