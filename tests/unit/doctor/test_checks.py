"""Every check of `harness doctor` on a fit machine, on one that is short of something, and on one that is unfit."""

import os
from dataclasses import replace

import numpy as np
import pytest

from harness.base.host import RESERVED_PORTS, HostLimits, available_cores, cgroup_quota
from harness.base.model import OUTCOMES, Outcome
from harness.doctor import cpu, generator, resources
from harness.doctor.examine import Measurements, evaluate_machine
from harness.doctor.generator import PHOTO_BYTES, claim_of
from harness.judge.validity import ALLOWED_LATENESS_S
from harness.run_folder.journal import RECORD
from harness.runner.generator import GeneratorResult

LIMITS = HostLimits(
    descriptors=100_000, first_port=32_768, last_port=60_999, reserved_ports=0, tw_reuse=2, timestamps=1
)
CORES = cpu.CpuMeasurement(usable=4, quota=None, busy_ratio=0.02, stolen_ratio=0.0, governors=("performance",))
CLOCK = cpu.ClockMeasurement(source="tsc", step_s=40e-9, read_s=70e-9, synchronised=True)
DISK = resources.DiskMeasurement(folder="runs", free_bytes=10**10, bytes_per_s=5e8, commit_s=0.001)


def result(attempts=15_000, over_s=1.5, cpu_s=1.5, late_s=0.0005, outcome=Outcome.ACCEPTED):
    ends = np.zeros(attempts, dtype=RECORD)
    ends["outcome"], ends["sent_s"], ends["done_s"] = OUTCOMES.index(outcome), late_s, over_s
    return GeneratorResult(ends, cpu_s)


RESULTS = {"paced": result(1_500), "small": result(), "photos": result(1_500)}
SEEN = Measurements(LIMITS, 1_024, CORES, CLOCK, [0.0001] * 100, DISK, 2e9, RESULTS)


def nothing(_path):
    return ""


def findings(**changed):
    return {one.name: one for one in evaluate_machine(replace(SEEN, **changed), nothing).findings}


def test_a_fit_machine_has_nothing_to_change():
    found = evaluate_machine(SEEN, nothing)
    assert {str(one.verdict) for one in found.findings} == {"ok"}
    assert [one.change for one in found.findings if one.change] == []
    assert found.exit_code == 0


def with_load(name, load):
    return {"generator": {**RESULTS, name: load}}


def spread(first, last):
    return [first] * 90 + [last] * 10


PLANTED = [
    ("cores", {"cores": replace(CORES, usable=1)}, "warn", "a second core"),
    ("cores", {"cores": replace(CORES, quota=0.5)}, "unfit", "docker run --cpus=2"),
    ("load now", {"cores": replace(CORES, busy_ratio=0.2)}, "warn", "ps -eo pcpu"),
    ("load now", {"cores": replace(CORES, busy_ratio=0.51)}, "unfit", "ps -eo pcpu"),
    ("steal time", {"cores": replace(CORES, stolen_ratio=0.02)}, "warn", "dedicated cores"),
    ("steal time", {"cores": replace(CORES, stolen_ratio=0.06)}, "unfit", "dedicated cores"),
    ("governor", {"cores": replace(CORES, governors=("performance", "powersave"))}, "warn", "cpupower frequency-set -g performance"),
    ("clock", {"clock": replace(CLOCK, source="hpet", read_s=2e-6)}, "warn", "tsc"),
    ("clock", {"clock": replace(CLOCK, source="jiffies", step_s=0.004)}, "unfit", "tsc"),
    ("timers", {"overshoots_s": spread(0.0001, 0.003)}, "warn", "stop what else runs"),
    ("timers", {"overshoots_s": spread(0.0001, 0.006)}, "unfit", "stop what else runs"),
    ("descriptors", {"limits": replace(LIMITS, descriptors=4_096)}, "warn", "ulimit -Hn 20200"),
    ("descriptors", {"limits": replace(LIMITS, descriptors=1_024)}, "unfit", "ulimit -Hn 20200"),
    ("ports", {"limits": replace(LIMITS, last_port=32_768 + 5_000)}, "warn", "sysctl -w net.ipv4.ip_local_port_range='32768 60999'"),
    ("ports", {"limits": replace(LIMITS, last_port=32_768 + 500)}, "unfit", "ip_local_port_range"),
    ("TIME_WAIT", {"limits": replace(LIMITS, tw_reuse=0)}, "warn", "sysctl -w net.ipv4.tcp_tw_reuse=2"),
    ("disk, free", {"disk": replace(DISK, free_bytes=10**9)}, "warn", "remove old runs"),
    ("disk, free", {"disk": replace(DISK, free_bytes=10**8)}, "unfit", "remove old runs"),
    ("disk, writing", {"disk": replace(DISK, bytes_per_s=5e6)}, "warn", "faster disk"),
    ("disk, writing", {"disk": replace(DISK, bytes_per_s=1e6)}, "unfit", "faster disk"),
    ("disk, commits", {"disk": replace(DISK, commit_s=0.05)}, "warn", "faster disk"),
    ("disk", {"disk": replace(DISK, problem="Read-only file system")}, "unfit", "where you may write"),
    ("loopback", {"loopback_bytes_per_s": 1e8}, "warn", "tc qdisc show dev lo"),
    ("loopback", {"loopback_bytes_per_s": 1e7}, "unfit", "tc qdisc show dev lo"),
    ("lateness", with_load("paced", result(1_500, late_s=0.003)), "warn", "is INVALID if its lateness is above 5 ms"),
    ("lateness", with_load("paced", result(1_500, late_s=0.006)), "unfit", "is INVALID if its lateness is above 5 ms"),
    ("small attempts", with_load("small", result(3_000, cpu_s=1.5)), "warn", "--workers"),
    ("small attempts", with_load("small", result(300, cpu_s=1.5)), "unfit", "--workers"),
    ("photos", with_load("photos", result(200, cpu_s=1.5)), "warn", "--workers"),
    ("photos", with_load("photos", result(20, cpu_s=1.5)), "unfit", "--workers"),
    ("generator", with_load("small", result(64, outcome=Outcome.REFUSED)), "unfit", "nft list ruleset"),
    ("generator", {"generator": None, "problem": "generator ended with exit code 1\nits log"}, "unfit", "its log"),
]  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "planted", "verdict", "change"), PLANTED)
def test_each_planted_trouble_is_found_by_its_check_alone_and_told_what_to_change(name, planted, verdict, change):
    found = findings(**planted)
    assert found[name].verdict == verdict
    assert change in found[name].change
    assert [other for other, one in found.items() if one.verdict != "ok"] == [name]


@pytest.mark.parametrize("planted", [planted for _, planted, verdict, _ in PLANTED if verdict == "unfit"])
def test_an_unfit_machine_may_claim_nothing_and_ends_with_3(planted):
    found = evaluate_machine(replace(SEEN, **planted), nothing)
    assert found.claim is None
    assert found.exit_code == 3
    assert found.document()["fit"] is False


def test_a_machine_with_warnings_is_fit_and_ends_with_0():
    found = evaluate_machine(replace(SEEN, limits=replace(LIMITS, tw_reuse=0)), nothing)
    assert (found.exit_code, found.document()["verdict"]) == (0, "warn")
    assert found.claim is not None


def test_a_short_backlog_is_told():
    _, _, backlog = resources.check_ports(LIMITS, {"/proc/sys/net/core/somaxconn": "128\n"}.__getitem__)
    assert (backlog.verdict, backlog.change) == ("warn", "sysctl -w net.core.somaxconn=4096")


def test_an_unsynchronised_time_of_day_is_told_and_held_against_no_machine():
    _, day = cpu.check_clock(replace(CLOCK, synchronised=False))
    assert (day.measured, day.verdict) == ("synchronised: no", "ok")


def test_a_claim_is_eighty_percent_of_the_core_and_never_more_than_was_reached():
    claim = claim_of(LIMITS, CORES, RESULTS, 2e9)
    assert (claim.small_per_s, claim.bytes_per_s) == (8_000, 400_000_000)
    slow = {**RESULTS, "small": result(7_100), "photos": result(1_500, over_s=3.0, cpu_s=0.3)}
    claim = claim_of(LIMITS, CORES, {**slow, "small": result(7_100, cpu_s=0.5)}, 2e9)
    assert (claim.small_per_s, claim.bytes_per_s) == (4_700, 250_000_000)
    assert claim_of(LIMITS, CORES, RESULTS, 1e8).bytes_per_s == 100_000_000


def test_a_claim_rounds_the_lateness_up_and_leaves_the_server_a_core():
    late = {**RESULTS, "paced": result(1_500, late_s=0.00123)}
    claim = claim_of(replace(LIMITS, descriptors=5_200), replace(CORES, quota=3.5), late, 2e9)
    assert claim.lateness_s == 0.0013
    assert (claim.workers, claim.workers_alone) == (2, 3)
    assert claim.stations_at_once == 5_000
    there = 28_232 - RESERVED_PORTS
    assert (claim.connections_per_s, claim.connections_elsewhere_per_s) == (there, there // 60)
    assert "± 1.3 ms" in " ".join(claim.sentences)


GROUPS = [
    ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "/sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 1.5),
    ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
    ({"/proc/self/cgroup": "3:cpu,cpuacct:/x\n", "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "200000\n", "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 2.0),
    ({"/proc/self/cgroup": "1:cpu:/\n", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, None),
    ({}, None),
]  # fmt: skip


@pytest.mark.parametrize(("files", "granted"), GROUPS)
def test_the_narrowest_control_group_says_how_much_time_there_is(files, granted):
    assert cgroup_quota(lambda path: files.get(path, "")) == granted


def test_workers_are_chosen_by_what_the_container_may_use_not_by_the_machines_cores():
    usable = len(os.sched_getaffinity(0))

    def cores_with(quota):
        files = {"/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": f"{quota} 100000\n"}
        return available_cores(lambda path: files.get(path, ""))

    assert [cores_with(quota) for quota in ("max", "150000", "20000", "100000000")] == [usable, 1, 1, usable]


def test_what_keeps_the_cores_busy_and_what_is_stolen_is_the_difference_of_two_looks():
    texts = iter(["cpu  100 0 50 800 40 0 10 0 0 0\ncpu0 1\n", "cpu  130 0 60 850 40 0 10 10 0 0\n"])
    slept: list[float] = []
    seen = cpu.measure_cores(lambda path: next(texts) if path == "/proc/stat" else "", slept.append, 2)
    assert (seen.busy_ratio, seen.stolen_ratio, seen.governors) == (0.4, 0.1, ())
    assert slept == [cpu.SAMPLE_S]


def test_a_sleep_overshoots_by_what_it_takes_beyond_what_was_asked():
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds + 0.25

    assert cpu.measure_timer(lambda: now[0], sleep) == pytest.approx([0.25] * cpu.SLEEPS)


def test_the_clocks_smallest_step_and_cost_come_from_its_readings():
    readings = iter(range(10**6))
    seen = cpu.measure_clock(lambda: next(readings) // 4, lambda _: "acpi_pm\n", lambda: None)
    assert (seen.source, seen.step_s) == ("acpi_pm", 1)
    assert seen.read_s == pytest.approx(0.25, rel=1e-3)


def test_the_disk_is_measured_by_writing_and_nothing_stays(tmp_path):
    ticks = iter(range(10**6))
    seen = resources.measure_disk(
        tmp_path, lambda: next(ticks) / 10
    )  # each look at the clock takes a tenth of a second
    assert seen.commit_s == pytest.approx(0.1)
    assert seen.bytes_per_s == pytest.approx(9 * (1 << 20) / 1.1)  # nine pieces begin within a second; then fsync
    assert seen.problem == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert resources.measure_disk(tmp_path, float).problem == "Permission denied"


def test_needs_are_those_of_the_harness_itself():
    assert resources.ENOUGH_DESCRIPTORS == 20_200  # client.max_in_flight as it comes, and the harness's own
    assert cpu.LATE_SLEEP_S == ALLOWED_LATENESS_S
    assert generator.ENOUGH_LOOPBACK_BYTES_PER_S == 2 * 500 * PHOTO_BYTES
