"""The notebook of the tutorial: its cells are below, its outputs are what they gave when `make docs` last executed them."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CELLS = [
    """# A run in a notebook

Every run is a folder. `import harness` opens one, simulates one in virtual time, or runs one for real. Nothing here sends load:
`harness.simulate` plays the scenario in this process.""",
    """>>> import harness

run = harness.simulate("kaliwates", out="simulated")
run""",
    """A run has its figures (`run.summary`), its verdict, its record and its audit as typed objects: what the JSON files of the folder contain.""",
    """>>> run.verdict.verdict, run.verdict.safety, run.summary.attempts.amplification""",
    """Its rows are tables: `attempts`, `pages`, `stations`, `plan`, `stored`. Each is a DuckDB relation: `.df()` is a pandas data frame,
`.pl()` a Polars one, `.arrow()` a PyArrow table (if you have that package), and `run.sql` asks all of them.""",
    """>>> run.sql(\"\"\"
    SELECT phase, outcome, count(*) AS attempts, round(median(done_s - due_s), 2) AS median_s
    FROM attempts GROUP BY ALL ORDER BY phase, attempts DESC
\"\"\")""",
    """>>> run.sql("SELECT status, count(*) AS pages, max(attempts) AS most_attempts FROM pages GROUP BY ALL")""",
    """What server and generator reported of themselves, once a second, is a table too. `run.metrics()` lists the names.""",
    """>>> queue = run.series("mock_server_queue_depth", target="server")
queue.order("value DESC, t_s").limit(3)""",
    """Any key of the scenario can be changed; two underscores stand for the dot. How many workers would have been enough?""",
    """>>> answers = {}
for workers in (1, 4, 8):
    tried = harness.simulate("kaliwates", out=f"workers-{workers}", server__workers=workers)
    answers[workers] = (tried.verdict.verdict, round(tried.summary.stations.completed_by_deadline_ratio, 3))
answers""",
    """`harness.run("kaliwates")` does the same for real and takes its minute. `harness.open_run("runs/…")` opens a run that you made before;
`run.report()` draws its charts and page.""",
]
"""Code cells begin with >>>; the others are Markdown."""
MARK = ">>> "
PATH = Path(__file__).parents[1] / "tutorial" / "notebook.ipynb"


def notebook() -> dict[str, Any]:
    """The notebook, executed now in a folder of its own. Raises whatever a cell raises."""
    scope: dict[str, Any] = {}
    cells = []
    with _in_empty_folder():
        for number, text in enumerate(CELLS):
            cell: dict[str, Any] = {
                "id": f"cell-{number}",
                "metadata": {},
                "source": text.removeprefix(MARK).splitlines(keepends=True),
            }
            if text.startswith(MARK):
                count = sum(one.startswith(MARK) for one in CELLS[: number + 1])
                cell |= {
                    "cell_type": "code",
                    "execution_count": count,
                    "outputs": _execute(text.removeprefix(MARK), scope, count),
                }
            else:
                cell |= {"cell_type": "markdown"}
            cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def notebook_text() -> str:
    """The file."""
    return json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n"


def _execute(code: str, scope: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The output of a cell: what its last expression gives, as a notebook shows it."""
    body = ast.parse(code).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "<cell>", "exec"), scope)  # noqa: S102 - the cells above
    if not isinstance(last, ast.Expr):
        return []
    value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), scope)  # noqa: S307 - the cells above
    html = getattr(value, "_repr_html_", lambda: "")()
    data = {"text/html": html.splitlines(keepends=True)} if html else {}
    data["text/plain"] = repr(value).splitlines(keepends=True)
    return [{"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data}]


@contextlib.contextmanager
def _in_empty_folder() -> Iterator[None]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)
