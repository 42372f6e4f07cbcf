"""The plan: the same scenario and seed give the same bytes, digests and due times."""

import hashlib
import io
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from harness.base.model import PageKey, Phase
from harness.plan import make_plan
from harness.plan.demand import forecast_load
from harness.plan.photos import JPEG, TAIL_BYTES, make_photo_bank, make_tail
from harness.plan.plan import compute_phases, digest_plan, make_reading
from harness.run_folder.tables import write_plan, write_plan_batches
from harness.scenario.loader import load_scenario

SMALL = ["photos.size=40KB", "photos.bank=3"]


@pytest.fixture(scope="module")
def plan():
    return make_plan(load_scenario("kaliwates", SMALL))


@pytest.mark.heavy
def test_kaliwates_has_its_362_real_stations_in_seven_kelurahan(plan):
    sizes: dict[str, int] = {}
    for station in plan.stations:
        sizes[station.kelurahan_name] = sizes.get(station.kelurahan_name, 0) + 1
    assert sizes == {
        "MANGLI": 50, "SEMPUSARI": 33, "KEBONAGUNG": 22, "KALIWATES": 44, "JEMBERKIDUL": 61, "KEPATIHAN": 50, "TEGALBESAR": 102,
    }  # fmt: skip
    assert plan.stations[0].code == "3509191001001"
    assert plan.stations[-1].code == "3509191007102"
    assert plan.pages == 1086


@pytest.mark.heavy
def test_the_same_seed_plans_the_same_bytes_and_another_seed_others(plan, tmp_path):
    again = make_plan(load_scenario("kaliwates", SMALL))
    other = make_plan(load_scenario("kaliwates", SMALL, seed=2))
    assert [body.data for body in again.bank] == [body.data for body in plan.bank]
    assert list(again) == list(plan)
    assert {page.sha256 for page in other}.isdisjoint(page.sha256 for page in plan)
    files = []
    for number, one in enumerate((plan, again)):
        write_plan(tmp_path / f"{number}.parquet", one)
        files.append((tmp_path / f"{number}.parquet").read_bytes())
    assert files[0] == files[1]


@pytest.mark.heavy
@pytest.mark.parametrize("stations_each", [100, 1000])
def test_the_columns_of_a_plan_give_the_same_file_as_its_pages(plan, tmp_path, stations_each):
    write_plan(tmp_path / "pages", plan)
    write_plan_batches(tmp_path / "columns", plan.column_batches(stations_each))
    assert (tmp_path / "columns").read_bytes() == (tmp_path / "pages").read_bytes()


def test_every_page_is_a_whole_jpeg_of_its_own_with_the_planned_digest(plan):
    digests = set()
    for index in range(0, plan.pages, 37):
        page = plan.page(index)
        body, tail = plan.photo(index)
        photo = bytes(body) + tail
        assert len(photo) == page.size_bytes
        assert hashlib.sha256(photo).hexdigest() == page.sha256
        with Image.open(io.BytesIO(photo)) as image:
            image.load()
            assert image.format == "JPEG"
        digests.add(page.sha256)
    assert len(digests) == len(range(0, plan.pages, 37))


@pytest.mark.heavy
def test_photos_have_the_sizes_of_the_distribution():
    size = load_scenario("kaliwates").photos.size
    bank = make_photo_bank(size, 8, seed=1)
    assert [body.size_bytes for body in bank] == [round(size.quantile((n + 0.5) / 8)) for n in range(8)]
    assert 1_100_000 < bank[0].size_bytes < bank[-1].size_bytes < 2_400_000


@pytest.mark.heavy
def test_a_photo_compresses_like_a_photo():
    body = make_photo_bank(load_scenario("kaliwates").photos.size, 1, seed=1)[0].data
    counts = np.bincount(np.frombuffer(body, dtype=np.uint8), minlength=256) / len(body)
    entropy_bits = -(counts[counts > 0] * np.log2(counts[counts > 0])).sum()
    assert entropy_bits > 7.5  # of 8: nothing that a proxy could shrink
    picture = body.index(b"\xff\xda")  # the scan begins; a filling of comments may follow it
    filling = sum(len(part) for part in body[picture:].split(b"\xff\xfe")[1:])
    assert filling < 0.08 * len(body)


@pytest.mark.heavy
@pytest.mark.parametrize("size_bytes", [1_000, 2_000, 5_000, 20_000, 70_000])
def test_small_photos_are_pictures_too(size_bytes):
    plan = make_plan(load_scenario("kaliwates", [f"photos.size={size_bytes}B", "photos.bank=1"]))
    body, tail = plan.photo(0)
    assert len(body) + len(tail) == size_bytes
    with Image.open(io.BytesIO(bytes(body) + tail)) as image:
        image.load()


def test_the_tail_is_a_comment_with_the_key_and_the_end_marker():
    tail = make_tail(PageKey("3509191001001", "ppwp", 2))
    assert len(tail) == TAIL_BYTES
    assert tail[:2] == b"\xff\xfe"
    assert int.from_bytes(tail[2:4], "big") == TAIL_BYTES - 4  # counts itself, not the marker
    assert b"3509191001001/ppwp/2" in tail
    assert tail[-2:] == b"\xff\xd9"


def test_pages_share_their_bodies_so_that_memory_does_not_grow_with_their_number(plan):
    tracemalloc.start()
    photos = [plan.photo(index) for index in range(plan.pages)]
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(photos) * 40_000 > 40_000_000  # what copies would take
    assert grown < 1_500_000


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_shards_cover_every_station_once_in_due_order(plan, workers):
    shards = [plan.shard(rank, workers) for rank in range(workers)]
    assert sorted(np.concatenate(shards).tolist()) == list(range(362))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    for shard in shards:
        assert (np.diff(plan.due_s[shard]) >= 0).all()


def test_the_votes_page_has_a_reading_that_adds_up_and_no_other_has_one(plan):
    readings = {page.page: page.reading for page in plan if page.station == "3509191001001"}
    assert readings[1] == readings[3] == ""
    content = json.loads(readings[2])
    administration = content["administrasi"]
    assert sum(content["chart"].values()) == administration["suara_sah"]
    assert administration["suara_sah"] + administration["suara_tidak_sah"] == administration["suara_total"]
    assert administration["suara_total"] <= administration["pemilih_dpt_j"]
    assert json.dumps(content, sort_keys=True, separators=(",", ":")) == readings[2]
    assert make_reading(PageKey("3509191001001", "pdpr", 2), 1) == ""


@pytest.mark.heavy
def test_a_count_spreads_the_stations_over_the_region():
    plan = make_plan(load_scenario("kaliwates", [*SMALL, "stations.count=20"]))
    assert len(plan.stations) == 20
    assert len({station.kelurahan for station in plan.stations}) == 7


@pytest.mark.heavy
def test_all_five_forms_are_63_pages_a_station():
    plan = make_plan(load_scenario("kaliwates", [*SMALL, 'stations.forms=["ppwp","pdpr","pdpd","pdprdp","pdprdk"]']))
    assert len(plan.slots) == 63
    assert plan.pages == 362 * 63


def test_the_forecast_counts_the_busiest_second(plan):
    numbers = forecast_load(plan, deadline_s=30.0)
    seconds = np.floor(plan.due_s).astype(int)
    assert numbers.peak_uploads_per_s == np.bincount(seconds).max() * 3
    assert numbers.total_bytes == sum(page.size_bytes for page in plan)
    assert numbers.beyond_deadline == int((plan.due_s >= 30).sum())


def test_what_is_sent_of_a_page_is_what_the_plan_says_of_it(plan):
    for index in range(100):
        page, (body, tail) = plan.page(index), plan.photo(index)
        assert plan.sent(index) == (page.key, body, tail, page.sha256, page.reading, JPEG)


BASE = ["photos.size=2KB", "photos.bank=1", "stations.count=30", 'arrivals={kind="poisson", over="5s"}']


def digest(*overrides, seed=3):
    return digest_plan(make_plan(load_scenario("kaliwates", [*BASE, *overrides], seed)))


PLAIN = digest()


@pytest.mark.heavy
def test_the_same_scenario_and_seed_give_the_same_digest():
    assert digest() == PLAIN
    assert digest("server.workers=1") == PLAIN  # how the server behaves does not belong to what is sent


@pytest.mark.heavy
@pytest.mark.parametrize(
    "other",
    ["photos.size=3KB", "photos.bank=2", "stations.count=29", "stations.region=jember", 'arrivals={kind="poisson", over="6s"}',
     'arrivals={kind="closed", phones=5, think={distribution="fixed", value="1s"}}'],
)  # fmt: skip
def test_whatever_changes_what_is_sent_or_when_changes_it(other):
    assert digest(other) != PLAIN


@pytest.mark.heavy
def test_another_seed_changes_it():
    assert digest(seed=4) != PLAIN


INFINITE = float("inf")


def test_without_faults_the_run_is_one_clear_phase():
    assert compute_phases([], 0.0, 10.0) == [Phase("clear", 0.0, 10.0)]


def test_phases_follow_one_another_without_gaps_and_overlaps_are_joined():
    found = compute_phases([("b", 4.0, 8.0), ("a", 2.0, 6.0)], 0.0, 10.0)
    assert [(phase.name, phase.start_s, phase.end_s) for phase in found] == [
        ("clear", 0, 2), ("a", 2, 4), ("a+b", 4, 6), ("b", 6, 8), ("clear", 8, 10),
    ]  # fmt: skip


def test_a_warm_up_comes_first_whatever_is_on():
    assert [phase.name for phase in compute_phases([("a", 0.0, 5.0)], 2.0, 10.0)] == ["warm_up", "a", "clear"]


def test_a_fault_may_outlast_the_run():
    assert compute_phases([("a", 3.0, INFINITE)], 0.0, 5.0)[-1] == Phase("a", 3.0, 5.0)


def test_what_comes_after_the_end_is_left_out():
    assert compute_phases([("a", 30.0, 40.0)], 0.0, 5.0) == [Phase("clear", 0.0, 5.0)]
