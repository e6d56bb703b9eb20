import pytest

from bench.runs.no_effect import methods_without_effect
from bench.runs.records.tables import ScoreRow


def score(method: str, value: float | None, metric: str = "disruption") -> ScoreRow:
    return ScoreRow(method, "ada", "hat", "free", 1, metric, "lite0", value, "", "f")


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.0], True), ([0.0, 1e-9], False), ([0.0, None], True), ([None], False), ([0.2], False)],
)
def test_a_method_has_no_effect_if_all_its_images_equal_those_of_the_backbone(
    values: list[float | None], expected: bool
) -> None:
    rows = [score("m", value) for value in values]
    assert methods_without_effect(rows, "text-only") == (["m"] if expected else [])


def test_the_backbone_itself_and_other_metrics_do_not_count() -> None:
    rows = [score("text-only", 0.0), score("m", 0.0, "drift"), score("late", 0.0), score("early", 0.0)]
    assert methods_without_effect(rows, "text-only") == ["late", "early"]
