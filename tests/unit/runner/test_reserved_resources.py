"""Room that is set aside, so that a run's end can be told."""

import gc
from pathlib import Path

import pytest

from harness.base.errors import UsageError
from harness.runner.reserved_resources import RESERVED_DESCRIPTORS, ReservedResources


def open_descriptors():
    gc.collect()  # else what other tests dropped is closed in between
    return len(list(Path("/proc/self/fd").iterdir()))


def test_room_is_held_until_it_is_released_and_then_all_of_it_is_back(tmp_path):
    before = open_descriptors()
    reserve = ReservedResources(tmp_path / "reserve", 100_000)
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 100_000
    assert open_descriptors() == before + RESERVED_DESCRIPTORS + 1
    reserve.release()
    reserve.release()
    assert (list(tmp_path.iterdir()), open_descriptors()) == ([], before)


def test_a_run_is_refused_where_there_is_no_room_even_for_its_end(tmp_path):
    before = open_descriptors()
    with pytest.raises(UsageError, match=r"needs .* MB"):
        ReservedResources(tmp_path / "reserve", 1 << 62)
    assert (list(tmp_path.iterdir()), open_descriptors()) == ([], before)


def test_a_child_that_dies_while_the_disk_is_full_has_starved_and_else_it_has_crashed_or_was_killed(
    tmp_path, monkeypatch
):
    reserve = ReservedResources(tmp_path / "reserve", 4096)
    assert reserve.told("it died", 1.5, killed=False).how == "crashed"
    assert reserve.told("it died", 1.5, killed=True).how == "killed"
    monkeypatch.setattr("harness.runner.reserved_resources._DISK_FULL_BELOW_BYTES", 1 << 62)
    ended = reserve.told("it died", 1.5, killed=True)
    reserve.release()
    assert (ended.how, ended.at_s) == ("starved", 1.5)
    assert "No space left on device" in ended.message
    assert "it died" in ended.message
