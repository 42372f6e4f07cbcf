"""Which join requests are accepted, and why the others are rejected."""

import pytest

from harness.drive.distributed.join import MAX_WALL_OFFSET_S, PROTOCOL_VERSION, JoinRequest, rejection_reason

PACKAGE = "1.2.3"


def join_request(**more):
    facts = {
        "name": "b", "package": PACKAGE, "protocol": PROTOCOL_VERSION, "cores": 4, "limits": {}, "offset_s": 1e6,
        "wall_offset_s": 0.0, "uncertainty_s": 0.001, **more,
    }  # fmt: skip
    return JoinRequest(**facts).to_message()


def test_the_same_version_in_time_is_accepted():
    assert rejection_reason(join_request(), PACKAGE, free=1) == ""


@pytest.mark.parametrize("other", [{"package": "1.2.4"}, {"protocol": PROTOCOL_VERSION + 1}])
def test_another_package_or_protocol_is_refused_with_both_versions(other):
    said = rejection_reason(join_request(**other), PACKAGE, free=1)
    assert f"the run has {PACKAGE} (protocol {PROTOCOL_VERSION}): install the same version on every machine" in said
    assert str(next(iter(other.values()))) in said


@pytest.mark.parametrize("content", [None, [], "x", {"package": "0.1"}, {**join_request(protocol=99), "new": 1}])
def test_what_another_version_says_need_not_be_readable_to_be_refused_for_its_version(content):
    assert "install the same version" in rejection_reason(content, PACKAGE, free=1)


def test_the_same_version_that_says_something_else_is_refused():
    assert rejection_reason({**join_request(), "more": 1}, PACKAGE, free=1) == "malformed join request"


@pytest.mark.parametrize("sign", [1, -1])
def test_clocks_may_differ_by_a_quarter_of_a_second_and_no_more(sign):
    assert rejection_reason(join_request(wall_offset_s=sign * MAX_WALL_OFFSET_S), PACKAGE, free=1) == ""
    said = rejection_reason(join_request(wall_offset_s=sign * (MAX_WALL_OFFSET_S + 0.002)), PACKAGE, free=1)
    assert (
        f"its clock differs from the leader's by {'+' if sign > 0 else '-'}252 ms (± 1.0 ms; allowed: 250 ms)" in said
    )


OWN = ("/home/me/my_upload.py:Delivery", "ab" * 32)


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        ("ab" * 32, ""),
        ("", "and this worker was started without: copy the same code there and name it with --allow-code"),
        (
            "cd" * 32,
            "its own client differs from the run's my_upload:Delivery (SHA-256 cdcdcdcdcdcd…, the run's abababababab…)",
        ),
    ],
)
def test_a_run_with_an_own_client_accepts_only_workers_that_have_the_same_code(theirs, reason):
    said = rejection_reason(join_request(own_client_sha256=theirs), PACKAGE, free=1, own_client=OWN)
    assert reason in said
    assert bool(said) == bool(reason)


def test_a_run_without_one_accepts_a_worker_that_may_run_some():
    assert rejection_reason(join_request(own_client_sha256="ab" * 32), PACKAGE, free=1) == ""


def test_nobody_is_accepted_beyond_the_number_that_the_run_wants():
    assert rejection_reason(join_request(), PACKAGE, free=0) == "the run already has all the workers that it needs"
