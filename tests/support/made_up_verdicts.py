"""The made-up run as Summary, Verdict and RunRecord, by hand: the figures of `evening` need not add up with them."""

from __future__ import annotations

from typing import Any

from harness.analysis.summary import Summary
from harness.judge.results import Verdict
from harness.run_folder.layout import RunRecord

KELURAHAN = {
    "3509191001": ("Mangli", 50),
    "3509191002": ("Sempusari", 33),
    "3509191003": ("Kebonagung", 22),
    "3509191004": ("Kaliwates", 44),
    "3509191005": ("Jemberkidul", 61),
    "3509191006": ("Kepatihan", 50),
    "3509191007": ("Tegalbesar", 102),
}


def spread(count: int, p50: float | None = None, **more: Any) -> dict[str, Any]:
    """A Spread as JSON: percentiles scale with p50."""
    made: dict[str, Any] = dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "p99_9", "max")) | {"count": count}
    if p50 is not None:
        made |= {"mean": p50 * 1.2, "p50": p50, "p90": p50 * 2, "p95": p50 * 3, "p99": p50 * 5, "max": p50 * 9}
    return made | more


def summary_json() -> dict[str, Any]:
    """The run's summary.json."""
    by_outcome = {"accepted": 1049, "unavailable": 230, "timeout_response": 80, "reset": 6}
    done = {
        "Mangli": 50,
        "Sempusari": 33,
        "Kebonagung": 21,
        "Kaliwates": 41,
        "Jemberkidul": 57,
        "Kepatihan": 45,
        "Tegalbesar": 88,
    }
    phase = {
        "start_s": 0.0,
        "end_s": 20.0,
        "attempts": 700,
        "by_outcome": {"accepted": 700},
        "offered_per_s": 35.1,
        "goodput_per_s": 34.9,
    }
    return {
        "run": "20240214T120000Z-kaliwates-1a2b",
        "name": "kaliwates",
        "seed": 20240214,
        "ended": "deadline",
        "duration_s": 72.4,
        "deadline_s": 72.0,
        "stations": {
            "planned": 362,
            "due": 362,
            "begun": 362,
            "completed": 335,
            "completed_by_deadline": 335,
            "completed_ratio": 0.9254,
            "completed_by_deadline_ratio": 0.9254,
        },
        "pages": {
            "planned": 1086,
            "attempted": 1080,
            "delivered": 1049,
            "undelivered": 31,
            "censored": 0,
            "unattempted": 6,
            "delivered_by_deadline": 1049,
            "gave_up_by_reason": {"deadline": 31},
        },
        "audit": dict.fromkeys(
            ("misfiled", "corrupted", "altered", "duplicated", "resurrected", "lost", "unexpected"), 0
        )
        | {"ok": 1049, "recovered": 2, "undelivered": 29, "unattempted": 6, "unsafe": 0},
        "attempts": {
            "total": 1365,
            "by_outcome": by_outcome,
            "amplification": 1.264,
            "resent_bytes": 4.8e8,
            "sent_bytes": 2.2e9,
            "resent_ratio": 0.218,
        },
        "rates": {
            "over_s": 72.4,
            "offered_per_s": 15.08,
            "goodput_per_s": 14.57,
            "throughput_per_s": 17.8,
            "sent_bytes_per_s": 3.04e7,
        },
        "response_seconds": spread(
            1365,
            0.41,
            by_outcome={
                "accepted": spread(1049, 0.4),
                "unavailable": spread(230, 0.012),
                "timeout_response": spread(80, 10.0),
                "reset": spread(6),
            },
        ),
        "service_seconds": spread(1365, 0.4, by_outcome={"accepted": spread(1049, 0.39)}),
        "delivery_seconds": spread(1086, 0.6, p99=None, mean=None, max=None, never=37),
        "completion_seconds": spread(362, 2.1, p95=None, p99=None, mean=None, max=None, never=27),
        "lateness_seconds": spread(1365, 0.00052),
        "recovery": [{"fault": "brownout", "ended_s": 30.0, "recovered_after_s": 6.0, "metastable": False}],
        "phases": [
            phase | {"name": "clear", "response_seconds": spread(700, 0.4), "accepted_seconds": spread(700, 0.4)},
            phase
            | {
                "name": "brownout",
                "start_s": 20.0,
                "end_s": 30.0,
                "attempts": 420,
                "by_outcome": {"accepted": 120, "unavailable": 210, "timeout_response": 80, "reset": 6},
                "response_seconds": spread(420, 2.4),
                "accepted_seconds": spread(120, 2.4, p95=None, p99=None),
                "failed_seconds": spread(296, 0.012),
                "offered_per_s": 19.4,
                "goodput_per_s": 9.0,
            },
            phase
            | {
                "name": "clear",
                "start_s": 30.0,
                "end_s": 72.0,
                "attempts": 245,
                "by_outcome": {"accepted": 229, "unavailable": 20},
                "response_seconds": spread(245, 0.5),
                "accepted_seconds": spread(229, 0.5, p99=None),
                "failed_seconds": spread(20, 0.012, p90=None, p95=None, p99=None),
                "offered_per_s": 2.7,
                "goodput_per_s": 7.7,
            },
        ],
        "kelurahan": [
            {"code": code, "name": name, "stations": stations, "completed_by_deadline": done[name]}
            for code, (name, stations) in KELURAHAN.items()
        ],
        "recapitulation": recapitulation_json(),
        "server": {
            "wasted_work": 31,
            "shed": 216,
            "shed_by_reason": {"queue_full": 216},
            "answered": 1265,
            "stored": 1051,
            "queue_depth_max": 64.0,
            "workers_busy_max": 8.0,
            "faults_injected": {"brownout": 420},
            "loop_lag_max_s": 0.011,
            "scrapes": 74,
            "scrapes_failed": 0,
        },
        "generator": {
            "workers": 1,
            "workers_lost": 0,
            "cpu_max_ratio": 0.45,
            "cpu_above_90_ratio": 0.0,
            "cpu_above_90_s": 0.0,
            "loop_lag_max_s": 0.004,
            "memory_max_bytes": 1.4e8,
            "descriptors_max": 120.0,
            "in_flight_max": 74.0,
            "never_begun": 0,
            "scraped": {"attempts": 1365, "delivered": 1049, "due": 1086},
            "scrapes": 74,
            "scrapes_failed": 0,
        },
    }


def recapitulation_json() -> dict[str, Any]:
    """27 stations of Tegalbesar are entered by hand, so it begins after three days, and ends three days later."""
    hour_s, panel_of = 3600.0, {"Tegalbesar": 1, "Jemberkidul": 2, "Mangli": 3, "Kepatihan": 4}
    places = []
    for number, (code, (name, stations)) in enumerate(KELURAHAN.items()):
        late_s = 53 * hour_s if name == "Tegalbesar" else 0.0
        began_s, ended_s = (20 + 24 * (number % 2)) * hour_s, (150 + stations) * hour_s
        places.append(
            {
                "code": code, "name": name, "stations": stations, "by_hand": 27 if late_s else 0,
                "panel": panel_of.get(name, 2), "could_begin_s": 72 * hour_s if late_s else 40 * hour_s,
                "began_s": began_s + late_s, "ended_s": ended_s + late_s, "undelayed_began_s": began_s,
                "undelayed_ended_s": ended_s, "late_s": late_s,
            }
        )  # fmt: skip
    whole = {
        "stations": 362, "by_hand": 27, "ended_s": 305 * hour_s, "undelayed_ended_s": 252 * hour_s,
        "late_s": 53 * hour_s, "spare_s": 103 * hour_s,
    }  # fmt: skip
    return {
        "t0_s": 13 * hour_s, "deadline_s": 408 * hour_s, "in_time_ratio": 1.0, **whole,
        "kecamatan": [{"code": "350919", **whole}], "kelurahan": places,
    }  # fmt: skip


def summary(**changed: Any) -> Summary:
    """The run's figures; `changed` replaces top-level keys, or single fields in them by a dict."""
    content = summary_json()
    for key, value in changed.items():
        content[key] = content[key] | value if isinstance(value, dict) and isinstance(content[key], dict) else value
    return Summary.model_validate(content)


def verdict(word: str = "fail", reasons: tuple[str, ...] = ()) -> Verdict:
    """A verdict with one threshold held, one breached and one without a figure (breached ones only if failing)."""
    thresholds = [
        {
            "assert": "p95(delivery_seconds) < 10",
            "observed": 1.8,
            "limit": 10.0,
            "unit": "s",
            "passed": True,
            "reason": "",
        }
    ]
    if word != "pass":
        thresholds += [
            {
                "assert": "stations.completed_by_deadline_ratio >= 95%",
                "observed": 0.9254,
                "limit": 0.95,
                "unit": "ratio",
                "passed": False,
                "reason": "2.5 points below the limit",
            },
            {
                "assert": "p99(response_seconds) < 5",
                "observed": None,
                "limit": 5.0,
                "unit": "s",
                "passed": False,
                "reason": "no figure: needs 1,000 attempts",
            },
        ]
    if word == "invalid":
        for threshold in thresholds:
            threshold |= {"passed": False, "judged": False, "reason": "not judged, the measurement is invalid"}
    return Verdict.model_validate(
        {
            "verdict": word,
            "exit_code": {"pass": 0, "fail": 99, "invalid": 3}[word],
            "ended": "deadline",
            "safety": True,
            "liveness": False,
            "validity": {"valid": word != "invalid", "reasons": list(reasons)},
            "thresholds": thresholds,
        }
    )


def record(**changed: Any) -> RunRecord:
    """The run's run.json."""
    made: dict[str, Any] = {
        "id": "20240214T120000Z-kaliwates-1a2b",
        "name": "kaliwates",
        "title": "Election night in Kaliwates: 362 stations and one overloaded server",
        "scenario": {
            "name": "kaliwates",
            "deadline": "72s",
            "stations": {"region": "kaliwates", "forms": ["ppwp"]},
            "server": {"workers": 8},
        },
        "seed": 20240214,
        "target": "http://127.0.0.1:40123",
        "own_server": True,
        "deadline_s": 72.0,
        "time_scale": 3600.0,
        "client_timeout_s": 10.0,
        "workers": [{"rank": 0, "attempts": 1365, "stations_begun": 362, "stations_planned": 362}],
        "versions": {"harness": "0.1.0", "python": "3.11.2", "locust": "2.47.0"},
        "host": {"cpus": 2, "system": "Linux 6.1", "memory_bytes": 24_000_000_000},
        "command": ["harness", "run", "kaliwates", "--seed", "20240214"],
        "t0_epoch": 1707912000.0,
        "phases": [
            {"name": "clear", "start_s": 0, "end_s": 20},
            {"name": "brownout", "start_s": 20, "end_s": 30},
            {"name": "clear", "start_s": 30, "end_s": 72},
        ],
        "faults": [{"name": "brownout", "kind": "capacity", "start_s": 20, "end_s": 30}],
        "ended": {"how": "deadline", "at_s": 72.4},
    }
    return RunRecord.model_validate({**made, **changed})
