"""Scrapes: as they came, whatever came, and readable after a crash."""

import gzip
import os
import tracemalloc

import pytest

from harness.run_folder import scrape_log
from harness.run_folder.scrape_log import Scrape


def test_scrapes_come_back_as_they_came(tmp_path):
    kept = [Scrape("server", float(n), f"metric {n}\n" * 1000) for n in range(40)] + [
        Scrape("server", 40.0, "", "refused")
    ]
    for scrape in kept:
        scrape_log.append_scrape(tmp_path, scrape)
    assert list(scrape_log.read_scrapes(tmp_path, "server")) == kept
    assert scrape_log.list_targets(tmp_path) == ["server"]
    assert (tmp_path / "server.gz").stat().st_size < 40 * 11_000 / 20  # compressed


@pytest.mark.heavy
def test_a_small_file_that_stands_for_very_much_is_read_up_to_it(tmp_path):
    scrape_log.append_scrape(tmp_path, Scrape("server", 0.0, "x 1\n"))
    with (tmp_path / "server.gz").open("ab") as file:
        file.write(gzip.compress(bytes(250_000_000), compresslevel=1))
    scrape_log.append_scrape(tmp_path, Scrape("server", 1.0, "x 1\n"))
    tracemalloc.start()
    try:
        assert [scrape.t_s for scrape in scrape_log.read_scrapes(tmp_path, "server")] == [0.0]
        assert tracemalloc.get_traced_memory()[1] < 230_000_000  # a growing buffer may be copied once
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("torn", [1, 7, 20])
def test_a_torn_tail_costs_the_last_scrape_only(tmp_path, torn):
    for number in range(3):
        scrape_log.append_scrape(tmp_path, Scrape("server", float(number), "x 1\n"))
    path = tmp_path / "server.gz"
    os.truncate(path, path.stat().st_size - torn)
    assert [scrape.t_s for scrape in scrape_log.read_scrapes(tmp_path, "server")] == [0.0, 1.0]


def test_a_foreign_tail_ends_the_reading(tmp_path):
    scrape_log.append_scrape(tmp_path, Scrape("server", 0.0, "x 1\n"))
    with (tmp_path / "server.gz").open("ab") as file:
        file.write(b"this is not gzip")
    assert len(list(scrape_log.read_scrapes(tmp_path, "server"))) == 1
