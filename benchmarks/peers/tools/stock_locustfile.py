"""A locustfile as people write it: FastHttpUser, Locust's own pacing, one request per task."""

import os
from pathlib import Path

from locust import FastHttpUser, constant_throughput, task


class PlainUser(FastHttpUser):
    """Puts the same body again and again, at a rate or as fast as possible."""

    if float(os.environ["BENCH_RATE_OF_ONE"]):
        wait_time = constant_throughput(float(os.environ["BENCH_RATE_OF_ONE"]))
    body = Path(os.environ["BENCH_BODY"]).read_bytes()

    @task
    def upload(self) -> None:
        """One PUT."""
        self.client.put("/", data=self.body)  # type: ignore[arg-type]  # bytes are taken
