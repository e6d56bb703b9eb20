"""Rankings and pairwise comparisons of a run with known numbers."""

from known_run import known_run

from bench.analysis.comparison_table import compare
from bench.report.sections.rankings import SIGNS, pairwise_section, ranking_section


def test_order_is_that_of_the_column_with_a_sign_between_neighbours() -> None:
    table = compare(known_run())
    column = table.image_columns[0]
    line = next(line for line in ranking_section(table).splitlines() if "identity (sface)" in line)
    order = line.split("|")[2].split()
    assert order[::2] == column.ranking
    assert set(order[1::2]) <= set(SIGNS.values())


def test_table_of_pairs_is_for_three_methods_and_more() -> None:
    table = compare(known_run())
    lengths = [len(c.ranking) for c in table.image_columns if c.column.name == "identity"]
    assert pairwise_section(table).count("pairs |") == sum(length > 2 for length in lengths) == 1
