"""Labels cover neither one another nor a point."""

from itertools import combinations

from bench.report.drawing.labels import Label, is_far, placed

LINE = 14.0


def label(x: float, y: float, text: str) -> Label:
    return Label(x, y, text, 6.0, LINE)


def test_labels_of_close_points_do_not_cover_one_another() -> None:
    found = placed([label(100, 50 + i, f"method-{i}") for i in range(6)], 400)
    assert all(abs(one.y - other.y) >= LINE for one, other in combinations(found, 2))
    assert [one.text for one in found] == [f"method-{i}" for i in range(6)]
    assert not is_far(found[0], found[0])


def test_label_does_not_hide_the_point_of_another() -> None:
    left, right = placed([label(100, 50, "a long name"), label(150, 50, "")], 400)
    assert abs(left.y - 50) > 0.8 * LINE
    assert (right.x, right.y) == (150, 50)


def test_labels_at_the_bottom_move_up() -> None:
    found = placed([label(100, 399, "one"), label(100, 400, "two")], 400)
    assert max(one.y for one in found) <= 400
    assert min(one.y for one in found) <= 400 - LINE


def test_labels_far_from_one_another_stay_where_they_are() -> None:
    wanted = [label(100, 50, "one"), label(300, 50, "two"), label(100, 90, "three")]
    assert placed(wanted, 400) == wanted
