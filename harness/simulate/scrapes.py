"""What a scraper would have read of both sides, once a virtual second."""

from __future__ import annotations

from pathlib import Path

from harness.run_folder.scrape_log import Scrape, append_scrape
from harness.simulate.exposition import ExpositionWriter
from harness.simulate.simulation import Simulation

SERVER, WORKER = "server", "worker-0"


class ScrapeWriter:
    """Writes the counters of a simulation into the folder of scrapes, as exporters would have published them."""

    def __init__(self, folder: Path, simulation: Simulation) -> None:
        self._folder = folder
        self._simulation = simulation
        self._worker_text, self._server_text = ExpositionWriter(), ExpositionWriter()

    def scrape(self, t_s: float) -> tuple[Scrape, Scrape]:
        """Take in the journal's new records, and scrape both sides at `t_s`."""
        phones, server = self._simulation.phones, self._simulation.server
        metrics = phones.metrics
        metrics.count(phones.journal.noted())
        phones.journal.flush()
        metrics.in_flight = len(phones.in_flight)
        worker = Scrape(WORKER, t_s, self._worker_text.write(metrics.registry))
        if server.is_up:
            other = Scrape(SERVER, t_s, self._server_text.write(server.counters))
        else:
            other = Scrape(SERVER, t_s, "", "ConnectionRefusedError: the simulated server has crashed")
        for scrape in (worker, other):
            append_scrape(self._folder, scrape)
        return worker, other
