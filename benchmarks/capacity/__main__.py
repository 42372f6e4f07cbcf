"""`python -m benchmarks capacity`: prove the capacity search, and write the table into docs/explanation/capacity-proofs.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.capacity import planted, real, tables
from benchmarks.publish import ROOT, write_block
from benchmarks.twin.session import StoppedError, drive_for_real
from harness.base.errors import ExitCode, HarnessError
from harness.base.host import available_cores
from harness.base.signals import Interruption, SignalHandler

PAGE, DATA = ROOT / "docs" / "explanation" / "capacity-proofs.md", ROOT / "docs" / "data" / "capacity-proofs.json"


def prove_in_virtual_time(searches: int, sabotaged: int) -> dict[str, Any]:
    """The proofs (a), (e) and (f)."""
    with ProcessPoolExecutor(available_cores(), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(planted.check_search, range(searches), chunksize=5))
        refused = list(pool.map(planted.check_sabotage, range(sabotaged), chunksize=2))
    return {
        "searches": searches, "held": sum(held for held, _ in found), "repeated": searches,
        "agreeing": sum(agree for _, agree in found), "sabotaged": sabotaged, "refused": sum(refused),
    }  # fmt: skip


def prove_for_real(folder: Path, signals: SignalHandler, log: Callable[[str], None]) -> dict[str, Any]:
    """The proofs (b), (c) and (d)."""
    found = real.predict_held_out(folder / "held-out", drive_for_real(signals), log)
    nginx = real.search_nginx(folder / "nginx", signals, log)
    held_out = {
        group: [
            tables.HeldOut(name=one.name, predicted=one.predicted, measured=one.measured, is_met=one.is_met)
            for one in cells
        ]
        for group, cells in found.items()
    }
    return {
        **held_out, "nginx_bears_per_s": nginx.bears_per_s, "nginx_fails_per_s": nginx.fails_per_s, "nginx_why": nginx.why_unknown,
    }  # fmt: skip


def _earlier_results() -> dict[str, Any]:
    """What the published results say: of it stays what is not made anew."""
    return tables.read_proofs(DATA).model_dump(exclude={"at"}) if DATA.exists() else {}


def main() -> int:
    """Prove, or read earlier results, and write; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="earlier results, as docs/data/capacity-proofs.json"
    )
    parser.add_argument("--searches", type=int, default=300, metavar="N")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--virtual", action="store_true", help="leave out the real runs (ten minutes of a quiet machine)")
    only.add_argument("--real", action="store_true", help="only the real runs: the other results stay as published")
    parser.add_argument(
        "--out", type=Path, default=Path("runs") / "bench-capacity", metavar="DIR", help="folder of the runs"
    )
    options = parser.parse_args()
    log: Callable[[str], None] = lambda text: print(text, flush=True)  # noqa: T201, E731
    try:
        if options.source:
            proofs = tables.read_proofs(options.source)
        else:
            found = _earlier_results()
            if not options.real:
                found |= prove_in_virtual_time(options.searches, max(1, options.searches // 10))
            if not options.virtual:
                with SignalHandler() as signals:
                    found |= prove_for_real(options.out.absolute(), signals, log)
            proofs = tables.Proofs(at=f"{datetime.now(UTC):%Y-%m-%d}", **found)
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except (StoppedError, Interruption):
        sys.stderr.write("Interrupted.\n")
        return ExitCode.INTERRUPTED
    write_block(PAGE, "capacity bench", f"\n{tables.markdown(proofs)}\n\n")
    tables.write_proofs(DATA, proofs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
