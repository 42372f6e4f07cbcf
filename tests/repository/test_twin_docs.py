"""docs/explanation/fidelity.md has the tables of the cells that were measured, and of nothing else."""

from benchmarks.twin.__main__ import CHART, DATA, PAGE, insert_tables
from benchmarks.twin.fidelity import load_results
from benchmarks.twin.session import load_cells


def test_the_documented_tables_are_those_of_the_measured_cells():
    page = PAGE.read_text("utf-8")
    assert insert_tables(page, load_results(DATA)) == page


def test_every_cell_was_measured_as_it_is_written_down():
    measured = load_results(DATA).cells
    planned = {cell.name: cell for cell in load_cells()}
    assert {cell.name: cell.group for cell in measured} == {name: cell.group for name, cell in planned.items()}
    for cell in measured:
        assert cell.pair.seed == planned[cell.name].scenario.seed


def test_the_documented_chart_is_there():
    assert CHART.read_bytes().startswith(b"\x89PNG")
