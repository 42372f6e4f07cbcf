"""Samples a second apart -> what each process used."""

import numpy as np
import pytest

from harness.analysis.scraped_metrics import (
    CPU,
    DESCRIPTORS,
    GENERATOR_LAG,
    MEMORY,
    SERVER_LAG,
    RunSeries,
    load_process_health,
)
from harness.analysis.time_series import TargetSeries
from harness.measure.process_monitor import COLUMNS


def curves(target, name, *values):
    column = np.array(values, dtype=float)
    return TargetSeries(
        target, np.arange(len(column), dtype=float), {name: {frozenset(): column}}, up=np.isfinite(column)
    )


TOLD = RunSeries(
    server=curves("server", SERVER_LAG, 0.002, 0.09), workers=[curves("worker-0", GENERATOR_LAG, 0.3, 0.004, 0.001)]
)


def written(path, *rows):
    path.write_text("\n".join([",".join(COLUMNS), *rows, ""]))
    return path


@pytest.fixture
def found(tmp_path):
    rows = []
    for second, cpu in enumerate((1.0, 1.97, 2.94, 3.04)):
        rows.append(f"{second},harness,1,{cpu / 100},5000,40,0.00{second}")
        rows.append(f"{second},worker 0,2,{cpu},{1000 * (3 - second)},{10 + second},")
        rows.append(f"{second},server,3,0.5,700,9,")
    return {one.name: one for one in load_process_health(written(tmp_path / "processes.csv", *rows), TOLD)}


def test_cpu_is_the_share_of_a_core_between_samples(found):
    worker = found["worker 0"]
    assert worker.cpu_max_ratio == pytest.approx(0.97)
    assert worker.cpu_mean_ratio == pytest.approx(2.04 / 3)
    assert worker.cpu_above_90_s == pytest.approx(2.0)
    assert found["server"].cpu_max_ratio == 0.0


def test_memory_and_descriptors_are_the_most_that_were_seen(found):
    assert (found["worker 0"].memory_max_bytes, found["worker 0"].descriptors_max) == (3000, 13)


def test_a_loop_s_lag_is_what_its_exporter_told_and_the_harness_s_own_what_its_look_was_late(found):
    assert [found[name].loop_lag_max_s for name in ("harness", "worker 0", "server")] == [0.003, 0.004, 0.09]


def test_a_process_that_was_seen_once_has_no_share_of_a_core(tmp_path):
    path = written(tmp_path / "processes.csv", "0.0,master,7,1.0,100,5,", "0.2,master,7,1.2,100,5,")
    (only,) = load_process_health(path, TOLD)
    assert (only.cpu_mean_ratio, only.cpu_max_ratio, only.loop_lag_max_s) == (None, None, None)


def test_a_folder_of_before_has_none(tmp_path):
    assert load_process_health(tmp_path / "processes.csv", TOLD) == []


def test_a_worker_of_another_machine_stands_beside_the_others_by_its_own_exporter_s_word(tmp_path):
    columns = {CPU: (2.0, np.nan, 3.8, 4.7), MEMORY: (100, np.nan, 300, 200), DESCRIPTORS: (20, np.nan, 22, 21)}
    far = TargetSeries("worker-0", np.arange(4.0), {name: {frozenset(): np.array(values, dtype=float)} for name, values in columns.items()})  # fmt: skip
    dumb = curves("worker-1", GENERATOR_LAG, 0.1, 0.2)
    path = written(tmp_path / "processes.csv", "1.0,harness,1,1.0,100,5,0.0", "2.0,harness,1,1.2,100,5,0.0")
    harness, worker = load_process_health(path, RunSeries(server=TOLD.server, workers=[far, dumb]))
    assert (harness.name, worker.name) == ("harness", "worker 0")
    assert [worker.cpu_mean_ratio, worker.cpu_max_ratio] == pytest.approx([0.9, 0.9])
    assert (worker.memory_max_bytes, worker.descriptors_max, worker.samples) == (300, 22, 3)
