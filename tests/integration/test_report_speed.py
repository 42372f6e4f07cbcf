"""What a report of a long run takes: the command itself, on a run that `benchmarks.report.synthetic_run` made up."""

import pytest

from benchmarks.report import __main__
from benchmarks.report.synthetic_run import make_run
from harness.analysis.summarise import load_summary
from harness.run_folder.layout import RunFolder

pytestmark = pytest.mark.slow

MOST_PAGE_MB = 2.0


def test_the_page_of_a_hundred_thousand_attempts_has_at_most_2_mb_and_every_row_is_counted(tmp_path):
    folder = RunFolder(tmp_path / "run")
    made = make_run(folder, 100_000)
    found = __main__.measure(folder.path, made, 0)
    assert found.page_mb <= MOST_PAGE_MB
    summary = load_summary(folder)
    assert summary.attempts.total == made
    assert summary.lateness_seconds.p99_99 is not None


def test_a_million_attempts_need_less_than_a_gigabyte_from_the_journals_too(tmp_path):
    """Memory does not depend on who else uses this machine; seconds do, and are `make bench`'s."""
    folder = RunFolder(tmp_path / "run")
    made = make_run(folder, 1_000_000)
    found = __main__.measure(folder.path, made, 0)
    assert found.first
    assert found.peak_mb < __main__.LIMITS[1_000_000][1]
