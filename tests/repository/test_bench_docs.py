"""The tables of the bench in docs/explanation/measuring.md come from the rounds that were measured, and from nothing else."""

from benchmarks.peers import results
from benchmarks.peers.cost import COST_CASES, takes_part_in_cost
from benchmarks.peers.schedule import TOOLS
from benchmarks.publish import CHART, DATA, MEASURING, ROOT, insert_tables


def test_the_documented_tables_are_those_of_the_recorded_rounds():
    page = MEASURING.read_text("utf-8")
    assert insert_tables(page, results.read(DATA)) == page


def test_the_recorded_rounds_are_five_of_every_tool_in_every_part():
    recorded = results.read(DATA)
    assert recorded.rounds >= 5
    assert not recorded.missing
    costs = {(cost.case, cost.tool, cost.round) for cost in recorded.cost}
    for case in COST_CASES:
        for tool in TOOLS:
            if takes_part_in_cost(tool, case, 0):
                assert {(case.name, tool.name, number) for number in range(5)} <= costs
    assert {truth.tool for truth in recorded.truth} == {tool.name for tool in TOOLS if not tool.is_floor}


def test_the_documented_chart_is_there():
    assert (ROOT / "docs" / "images" / CHART).read_bytes().startswith(b"\x89PNG")
