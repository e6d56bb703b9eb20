"""The READMEs: the example methods work, and the package's table lists every method."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import methods
from methods.backbone.backbone import Backbone
from methods.catalog import METHODS, generates_class_images, make
from methods.errors import MethodError
from methods.subject import Request, Subject

PACKAGE = Path(str(methods.__file__)).parent
README = (PACKAGE / "README.md").read_text(encoding="utf-8")
MAIN = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")


def test_example_method_generates_an_image(
    subject: Subject, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(.*?)```", MAIN, re.DOTALL)
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


def test_example_outside_the_catalogue_is_found_by_the_name_in_the_readme() -> None:
    (name,) = re.findall(r'base = "(methods\.examples\.\S+:\w+)"', README)
    assert not generates_class_images(name)
    with pytest.raises(MethodError, match=r"no model_index\.json"):
        make(name)
