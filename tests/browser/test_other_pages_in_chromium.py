"""The pages of a comparison and of an experiment as people see them: on a phone, on a screen, printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe

from harness.analysis.experiment import CellFigures, ExperimentFigures, compute_variant_figures
from harness.judge.compare.compare import compare_sides
from harness.judge.compare.figure import Sides, Tolerances
from reports.comparison import render_comparison
from reports.comparison_charts import ComparedSide
from reports.experiment import render_experiment
from tests.browser.conftest import Open
from tests.support import made_up_run
from tests.support.compared_runs import compared, pages

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
NAMES = ("as it was", "bounded queue, Retry-After", "outbox, bounded queue, Retry-After", "four times the workers")
TEXTS = "[...d.querySelectorAll('figure svg text')].filter(t => t.getBoundingClientRect().width > 0)"


def comparison_page(folder: Path) -> Path:
    found = compare_sides(Sides([compared(pages(1))], [compared(pages(2, slower=1.2))]), Tolerances())
    sides = [ComparedSide(name, made_up_run.summary(), made_up_run.series()) for name in ("base", "run")]
    render_comparison(folder / "report" / "index.html", found, sides)
    return folder / "report" / "index.html"


def experiment_page(folder: Path) -> Path:
    def cell(variant: str, seed: int, share: float) -> CellFigures:
        return CellFigures(
            run=f"{variant}-{seed}", variant=variant, seed=seed, valid=True, completed_at={"48": share / 2},
            completed_by_deadline_ratio=share, delivery_p50_s=1.0, delivery_p95_s=None, never_arrived=5, amplification=2.0,
            resent_ratio=0.5, wasted_work=7, recovered_after_s=None, never_recovered=False, safety=True,
            curve_t_s=[0.0, 36.0, 72.0], curve=[0.0, share / 2, share],
        )  # fmt: skip

    cells = [
        [cell(name, seed, 0.2 + 0.2 * place + 0.02 * seed) for seed in range(3)] for place, name in enumerate(NAMES)
    ]
    variants = [compute_variant_figures(name, {}, own, cells[0]) for name, own in zip(NAMES, cells, strict=True)]
    figures = ExperimentFigures(
        name="made", title="Made up", base="kaliwates", seeds=[0, 1, 2], at_s=[48.0], deadline_s=72.0, time_scale=3600.0,
        variants=variants, planned_cells=12,
    )  # fmt: skip
    return render_experiment(folder, figures)


@pytest.fixture(scope="module", params=[comparison_page, experiment_page], ids=["comparison", "experiment"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = request.param(tmp_path_factory.mktemp("page"))
    return path.as_uri()


async def evaluate(open_page: Open, page: str, script: str, width: int) -> Any:
    return await (await open_page(page, width=width)).evaluate(f"() => ({script})(document)")


@pytest.mark.parametrize("width", [390, 1000])
async def test_texts_of_charts_are_legible_and_not_cut(page: str, open_page: Open, width: int) -> None:
    script = f"""d => {TEXTS}.map(t => {{
        const svg = t.ownerSVGElement, box = svg.getBoundingClientRect(), text = t.getBoundingClientRect();
        const cut = text.right > box.right + 1 || text.left < box.left - 1 || text.bottom > box.bottom + 1 || text.top < box.top - 1;
        return [t.textContent, parseFloat(getComputedStyle(t).fontSize) * box.width / svg.viewBox.baseVal.width, cut];
    }})"""
    found = await evaluate(open_page, page, script, width)
    assert len(found) > 20
    assert min(size for _, size, _ in found) >= 9
    assert [text for text, _, cut in found if cut] == []


async def test_on_a_phone_nothing_sticks_out(page: str, open_page: Open) -> None:
    script = """d => [...d.querySelectorAll('table th, table td, svg')].filter(c => {
        const box = c.getBoundingClientRect();
        return box.width > 0 && (box.left < 0 || box.right > 390);
    }).map(c => c.textContent.slice(0, 40))"""
    assert await evaluate(open_page, page, script, 390) == []


async def test_axe_finds_no_barrier(page: str, open_page: Open) -> None:
    found = (await Axe().run(await open_page(page))).response
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found["violations"]] == []
