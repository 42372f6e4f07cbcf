"""The photo bank travels to local workers in a file."""

import pytest

from harness.plan import make_plan
from harness.plan.photos import load_photo_bank, make_photo_bank, save_photo_bank
from harness.plan.plan import digest_plan
from harness.scenario.loader import load_scenario

SMALL = ["photos.size=3KB", "photos.bank=3", "stations.count=4"]


def test_a_plan_with_a_bank_from_a_file_is_the_plan_that_makes_its_own(tmp_path):
    scenario = load_scenario("smoke", SMALL)
    plan = make_plan(scenario)
    save_photo_bank(plan.bank, tmp_path / "photos.bin")
    assert load_photo_bank(tmp_path / "photos.bin") == plan.bank
    again = make_plan(scenario, load_photo_bank(tmp_path / "photos.bin"))
    assert digest_plan(again) == digest_plan(plan)


@pytest.mark.parametrize("missing", [1, 2_900])
def test_a_truncated_bank_is_refused(tmp_path, missing):
    path = tmp_path / "photos.bin"
    save_photo_bank(make_plan(load_scenario("smoke", SMALL)).bank, path)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(ValueError, match="is truncated"):
        load_photo_bank(path)


def test_variants_with_the_same_photos_and_seed_share_one_bank():
    first, second = load_scenario("smoke", SMALL), load_scenario("smoke", [*SMALL, "client.timeout=3s"])
    size, bank = first.photos.size, first.photos.bank
    assert make_photo_bank(size, bank, 1) is make_photo_bank(second.photos.size, bank, 1)
    assert make_photo_bank(size, bank, 1) != make_photo_bank(size, bank, 2)
