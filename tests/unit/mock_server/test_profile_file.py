import json
from typing import get_args

import pytest

from mock_server.faults.registry import KINDS
from mock_server.profile.server_profile import ServerProfile
from mock_server.profile_file import Profile, ProfileError, load_profile

NEEDED: dict[str, dict[str, object]] = {
    "latency": {"delay": "20ms"},
    "slow_close": {"delay": "1s"},
    "bandwidth": {"rate": "64KB/s"},
    "limit_data": {"limit": "100KB"},
    "chunked_dribble": {"total": "3s"},
    "capacity": {"factor": "20%"},
    "rate_limit": {"limit": 5, "window": "1m"},
}
NAMES = [get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS]


def test_there_is_every_fault_of_the_vocabulary():
    assert sorted(NAMES) == sorted(
        [
            "latency",
            "abort",
            "down",
            "reset_peer",
            "timeout",
            "slow_close",
            "bandwidth",
            "slicer",
            "limit_data",
            "empty_response",
            "malformed_response_chunk",
            "random_data_then_close",
            "chunked_dribble",
            "truncate_body",
            "capacity",
            "rate_limit",
            "unreadable",
            "misread",
            "ack_lost",
            "false_ack",
            "lose_after_ack",
            "corrupt_stored",
            "misfile",
            "duplicate_store",
            "offset_rollback",
            "false_complete",
            "stale_lock",
            "expire_upload",
            "crash",
            "crash_at_commit",
            "power_cut",
        ]
    )


@pytest.mark.parametrize("kind", NAMES)
def test_a_fault_is_written_and_read_again_unchanged(kind):
    fault = {
        "kind": kind, "name": "x", "start": "20s", "duration": "1500ms", "ramp": "1s", "probability": "12.5%",
        "match": {"station": "35", "form": "ppwp", "method": "POST", "phase": "upload"}, "count": 3, "skip_first": 2,
        "seed": 9, **NEEDED.get(kind, {}),
    }  # fmt: skip
    profile = Profile.model_validate({"faults": [fault]})
    assert Profile.model_validate(json.loads(json.dumps(profile.model_dump(mode="json")))) == profile
    assert profile.faults[0].end == 21.5


def test_a_profile_is_written_and_read_again_unchanged():
    profile = Profile.model_validate(
        {"workers": 3, "bytes_per_s": "8Mbit/s", "max_body": "3MiB", "queue_timeout": "90s"}
    )
    assert Profile.model_validate(profile.model_dump(mode="json")) == profile
    assert profile.bytes_per_s == 1_000_000


def test_the_defaults_are_a_healthy_server():
    profile = ServerProfile()
    assert (profile.workers, profile.queue_capacity, profile.shed, profile.dedupe) == (8, 64, "queue_full", "page")
    assert profile.service_time.quantile(0.5) == pytest.approx(0.15)


def test_a_fault_without_a_name_is_called_after_its_kind():
    assert Profile.model_validate({"faults": [{"kind": "down"}]}).faults[0].name == "down"


def test_toml_and_json_files_are_read(tmp_path):
    toml, written = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('workers = 2\n[[faults]]\nkind = "latency"\ndelay = "1s"\n')
    written.write_text(json.dumps(load_profile(toml).model_dump(mode="json")))
    assert load_profile(toml) == load_profile(written)
    assert load_profile(toml).workers == 2


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.toml", "workers = ", "is not TOML"),
        ("a.json", "{", "is not JSON"),
        ("a.toml", "wrokers = 1", "wrokers is not a known key"),
        ("missing.toml", None, "cannot be read"),
    ],
)
def test_a_file_of_no_use_is_named_with_what_is_wrong(tmp_path, name, text, says):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    assert str(caught.value).startswith(f"{path}: {says}")
