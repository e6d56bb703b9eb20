"""`bench list`: tables of methods, metrics, suites, prompts, datasets, aggregators and presets."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bench.datasets.registry import DATASETS
from bench.markdown import table
from bench.suite.prompt_sets import PROMPT_SETS, prompt_set
from bench.suite.prompts import Prompt
from bench.suite.suite import open_suite, suite_names
from methods.catalog import METHODS, self_contained


def listing(kinds: Sequence[str]) -> str:
    """One table per kind; metrics are followed by their networks."""
    tables = [table([kind, "description"], LISTS[kind]()) for kind in kinds]
    if "metrics" in kinds:
        tables.insert(kinds.index("metrics") + 1, networks_table())
    return "\n\n".join(tables)


def _methods() -> list[list[str]]:
    return [[name, entry.summary + _condition(name, entry.requires)] for name, entry in METHODS.items()]


def _condition(name: str, requires: str) -> str:
    """What a method needs, and whether `--methods all` has it without `rows` in the suite."""
    notes = [f"requires {requires}"] if requires else []
    if name not in self_contained():
        notes.append("not in `all`")
    return f" ({'; '.join(notes)})" if notes else ""


def _metrics() -> list[list[str]]:
    from metrics.catalog import METRICS

    return [
        [name, entry.summary + (f" (needs {entry.needs})" if entry.needs else "")]
        for name, entry in METRICS.items()
    ]


def networks_table() -> str:
    """Every encoder: whether its weights are on this machine, and where they come from."""
    from metrics.catalog import ENCODERS

    rows = []
    for name, entry in ENCODERS.items():
        origin = entry.origin
        here = ("yes" if origin.found() else "no") if origin.places() else "set `path`"
        rows.append([name, here, origin.source, origin.licence, origin.trained_on])
    return table(["metric@...", "on this machine", "from", "licence", "trained on"], rows)


def _suites() -> list[list[str]]:
    return [[name, open_suite(name).suite.about] for name in suite_names()]


def _prompts() -> list[list[str]]:
    return [[name, _prompt_summary(prompt_set(name))] for name in PROMPT_SETS]


def _prompt_summary(prompts: Sequence[Prompt]) -> str:
    if not prompts:
        return "empty, for recaptions or custom prompts"
    categories = Counter(prompt.category for prompt in prompts)
    return f"{len(prompts)} prompts: {', '.join(f'{count} {name}' for name, count in categories.items())}"


def _datasets() -> list[list[str]]:
    return [[name, about] for name, (_, about) in DATASETS.items()]


def _aggregators() -> list[list[str]]:
    from methods.catalog import AGGREGATORS

    return [[name, about] for name, about in AGGREGATORS.items()]


def _presets() -> list[list[str]]:
    return [
        [f"{method}: {name}", f"{preset.source} {_settings(preset.settings)}".strip()]
        for method, entry in METHODS.items()
        for name, preset in entry.presets.items()
    ]


def _settings(settings: Mapping[str, object]) -> str:
    return f"[{', '.join(f'{key} = {value!r}' for key, value in settings.items())}]" if settings else ""


LISTS: Final[Mapping[str, Callable[[], list[list[str]]]]] = {
    "methods": _methods,
    "metrics": _metrics,
    "suites": _suites,
    "prompts": _prompts,
    "datasets": _datasets,
    "aggregators": _aggregators,
    "presets": _presets,
}
