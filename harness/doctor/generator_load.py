"""The generator's own ceiling: the real one, a Locust process as in a run, against a sink that does nothing.

Three loads: paced (how punctual it is), small bodies as fast as it can, photos as fast as it can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.run_folder.layout import RunFolder
from harness.runner.generator import PAGES_PER_STATION, LoadGenerator, synthetic_scenario

PACED_PER_S = 1_000
SMALL_BYTES, PHOTO_BYTES = 1_000, 500_000
PHONES = 64
_LOAD_FOR_S = 1.5
_CLOSED_ARRIVALS = {"kind": "closed", "phones": PHONES, "think": {"distribution": "fixed", "value": "0s"}}
_PACED_ARRIVALS = {"kind": "constant", "over": f"{_LOAD_FOR_S:g}s"}


@dataclass(frozen=True)
class GeneratorLoad:
    """What one generator is told to do."""

    name: str
    photo_bytes: int
    arrivals: Mapping[str, Any]
    stations: int


LOADS = (
    GeneratorLoad("paced", SMALL_BYTES, _PACED_ARRIVALS, int(PACED_PER_S * _LOAD_FOR_S / PAGES_PER_STATION)),
    GeneratorLoad("small", SMALL_BYTES, _CLOSED_ARRIVALS, 20_000),  # more than it can in that time
    GeneratorLoad("photos", PHOTO_BYTES, _CLOSED_ARRIVALS, 5_000),
)


@contextmanager
def started_generators(folder: Path, port: int) -> Iterator[dict[str, LoadGenerator]]:
    """A generator for each load, all prepared side by side; they wait until they are told to begin.

    Raises ChildError if one doesn't come up.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(LOADS)))
        prepared = {load.name: stack.enter_context(_generator(folder / load.name, port, load)) for load in LOADS}
        for started in [pool.submit(generator.start) for generator in prepared.values()]:
            started.result()
        yield prepared


def _generator(folder: Path, port: int, load: GeneratorLoad) -> LoadGenerator:
    folder.mkdir()
    content = {
        "name": f"doctor-{load.name}",
        "deadline": f"{_LOAD_FOR_S:g}s",
        "photos": {"size": {"distribution": "fixed", "value": f"{load.photo_bytes}B"}, "bank": 2},
        "arrivals": load.arrivals,
        "client": {"connection": "reuse", "timeout": "3s"},
        "target": {"path": "/{station}/{form}/{page}"},
    }
    return LoadGenerator(
        synthetic_scenario(folder, load.stations, content), f"http://127.0.0.1:{port}", RunFolder(folder / "run")
    )
