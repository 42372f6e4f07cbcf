import math

import pytest
from scipy.stats import t

from harness.base.errors import RunFolderError
from harness.judge.compare.noise import compute_noise, noise_key
from harness.run_folder.layout import WorkerRecord
from harness.runner.noise_files import load_noise, noise_folder, save_noise
from tests.support.compared_runs import record

KEY = "delivery_seconds.p95"


def made(*values):
    return compute_noise(record(), {KEY: list(values)}, "2026-11-23 12:00:00 UTC")


def test_the_smallest_change_that_is_seen_follows_from_the_runs():
    found = made(math.exp(-0.01), 1.0, math.exp(0.01)).figures[KEY]
    assert found.log_sd == pytest.approx(0.01)
    reach = t.ppf(0.975, 2) + t.ppf(0.9, 2)
    assert found.detectable(0.05) == pytest.approx(math.expm1(reach * 0.01 * math.sqrt(2)))
    assert found.detectable(0.05, 4, 4) == pytest.approx(math.expm1(reach * 0.01 * math.sqrt(0.5)))


def test_runs_without_any_difference_see_any_change():
    assert made(1.0, 1.0, 1.0).figures[KEY].detectable(0.01) == 0


@pytest.mark.parametrize("values", [(1.0, 1.0), (1.0, 1.0, math.inf), (1.0, 0.0, 1.0)])
def test_too_few_runs_and_figures_without_a_logarithm_say_nothing_of_noise(values):
    assert made(*values).figures == {}


def test_a_calibration_is_kept_for_a_scenario_on_a_machine_whatever_seed_and_name():
    key = noise_key(record())
    assert key == noise_key(record(seed=9, name="other", scenario={**record().scenario, "seed": 9, "name": "other"}))
    assert key != noise_key(record(scenario={**record().scenario, "server": {"workers": 4}}))
    assert key != noise_key(record(host={**record().host, "cores": 4}))
    assert key != noise_key(record(workers=[WorkerRecord(rank=rank) for rank in range(2)]))


def test_what_is_kept_is_read_again_and_a_file_that_is_none_is_said_to_be_none(tmp_path):
    noise = made(1.0, 1.1, 0.9)
    path = save_noise(tmp_path / "state" / "noise", noise)
    assert load_noise(path.parent, noise.key) == noise
    assert load_noise(path.parent, "other") is None
    path.write_text("{}")
    with pytest.raises(RunFolderError, match="calibrate again"):
        load_noise(path.parent, noise.key)


def test_calibrations_lie_in_the_users_state_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert noise_folder() == tmp_path / "upload-harness" / "noise"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert noise_folder() == tmp_path / "home" / ".local" / "state" / "upload-harness" / "noise"
