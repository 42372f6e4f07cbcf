"""A locustfile as people write it: FastHttpUser, the library's own pacing, one request a task."""

import os
from pathlib import Path

from locust import FastHttpUser, constant_throughput, task


class StockUser(FastHttpUser):
    """Puts the same body again and again, so often a second, or as fast as it can."""

    if float(os.environ["BENCH_RATE_OF_ONE"]):
        wait_time = constant_throughput(float(os.environ["BENCH_RATE_OF_ONE"]))
    body = Path(os.environ["BENCH_BODY"]).read_bytes()

    @task
    def upload(self) -> None:
        """One PUT."""
        self.client.put("/", data=self.body)  # type: ignore[arg-type]  # bytes are taken
