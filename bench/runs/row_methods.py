"""The rows of the comparison table, and the method of each with its settings."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.errors import SuiteError
from bench.runs.row_settings import row_settings_of
from bench.runs.shared_fits import check_checkpoint
from bench.suite.suite import Suite
from methods.catalog import generates_class_images, make, self_contained
from methods.interface import Method

ALL: Final = "all"


def method_labels(names: Sequence[str], suite: Suite) -> tuple[str, ...]:
    """The rows of the table, with `all` replaced by the suite's `rows` and sweeps.

    Without `rows`, `all` is every catalogue method that needs no user input, and every `[methods.*]` of the
    suite.
    """
    swept = [label for label in suite.settings if label not in suite.methods]
    named = suite.rows if suite.rows is not None else (*self_contained(), *suite.methods)
    every = [*named, *swept]
    labels = [label for name in names for label in (every if name == ALL else [name])]
    return tuple(dict.fromkeys(labels))


def without_class_images(labels: Sequence[str], suite: Suite) -> frozenset[str]:
    """The rows whose methods cannot generate class images (images without the subject)."""
    names = {label: str(suite.settings.get(label, {}).get("base", label)) for label in labels}
    return frozenset(label for label, name in names.items() if not generates_class_images(name))


def build_method(label: str, suite_settings: Mapping[str, Mapping[str, Any]]) -> Method:
    """Build the method of a row, with the suite's settings."""
    row = row_settings_of(label, suite_settings.get(label, {}))
    settings = dict(row.own)
    name = settings.pop("base", label)
    if not isinstance(name, str):
        raise SuiteError(f"methods: {label}: base = {name!r}; expected a method's name")
    # A method is a frozen dataclass and must be hashable, which a list is not.
    method = make(name, {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()})
    if row.checkpoint is not None:
        check_checkpoint(label, row.checkpoint, method)
    return method
