"""The options of `harness run` and `harness worker` for remote workers: which go together, and in what form."""

import socket

import pytest

from harness.base.errors import UsageError
from harness.cli import worker
from harness.cli.worker import check_target_for_remote, host_and_port, join_policy, positive_duration_s
from harness.drive.distributed.join import DEFAULT_PORT
from harness.runner.run_spec import JoinPolicy

TOKEN = "a-join-token-for-tests-only"
CHECK = worker._check_can_listen


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    """A token, and a machine that has every address and port."""
    monkeypatch.setenv("HARNESS_JOIN_TOKEN", TOKEN)
    monkeypatch.setattr(worker, "_check_can_listen", lambda _: None)


def invited(*, remote=2, workers=None, bind=None, timeout="60s", target=None):
    return join_policy(remote, workers, bind, timeout, target)


def test_without_remote_workers_there_is_no_join_policy():
    assert invited(remote=None) is None


def test_a_run_listens_on_loopback_by_default():
    found = invited()
    assert (found.host, found.port, found.timeout_s, found.is_reachable) == ("127.0.0.1", DEFAULT_PORT, 60.0, False)
    found = invited(bind="10.0.0.1:6000", timeout="2m")
    assert (found.host, found.port, found.timeout_s, found.is_reachable) == ("10.0.0.1", 6000, 120.0, True)
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"remote": None, "bind": "10.0.0.1"}, "--bind needs --remote-workers"),
        ({"workers": "2"}, "--workers and --remote-workers exclude each other"),
        ({"bind": "leader.example"}, '--bind "leader.example" should be an IP address of this machine'),
        ({"bind": "0.0.0.0"}, "give the one that they can reach"),  # noqa: S104
        ({"bind": "10.0.0.1:x"}, "should be HOST or HOST:PORT"),
        ({"timeout": "soon"}, '--join-timeout "soon"'),
        ({"timeout": "0s"}, "should be longer than 0"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options, text):
    with pytest.raises(UsageError) as caught:
        invited(**options)
    assert text in str(caught.value)


def test_without_a_token_remote_workers_are_refused_with_how_to_make_one(monkeypatch):
    monkeypatch.delenv("HARNESS_JOIN_TOKEN")
    with pytest.raises(UsageError, match="HARNESS_JOIN_TOKEN is not set"):
        invited()


@pytest.mark.parametrize("taken", [True, False])
def test_an_address_that_is_not_available_is_refused_before_anything_starts(taken):
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = (
            ("127.0.0.1", server.getsockname()[1]) if taken else ("192.0.2.1", DEFAULT_PORT)
        )  # of no machine (RFC 5737)
        with pytest.raises(UsageError, match=rf"--bind: port {port} of {host} is not available"):
            CHECK(JoinPolicy(host, port, TOKEN, 60.0))
    CHECK(JoinPolicy("127.0.0.1", 0, TOKEN, 60.0))


def test_every_address_may_be_listened_on_where_the_target_is_elsewhere():
    assert invited(bind="0.0.0.0", target="http://10.0.0.9").host == "0.0.0.0"  # noqa: S104


def test_a_target_on_loopback_is_refused_for_workers_on_other_machines():
    with pytest.raises(
        UsageError, match=r"--target resolves to 127\.0\.0\.1, which is a different machine on each worker"
    ):
        check_target_for_remote(invited(bind="10.0.0.1"), "127.0.0.1")
    check_target_for_remote(invited(), "127.0.0.1")  # workers that join on loopback are on this machine
    check_target_for_remote(invited(bind="10.0.0.1"), None)
    check_target_for_remote(None, "127.0.0.1")


@pytest.mark.parametrize("text", ["", ":1", "a:", "a:b", "a:65536", "a:-1", "[::1]x"])
def test_an_invalid_host_and_port_is_refused(text):
    with pytest.raises(UsageError, match="should be HOST or HOST:PORT"):
        host_and_port("--master", text)


def test_a_duration_carries_its_unit():
    assert positive_duration_s("--join-timeout", "90s") == 90.0
    with pytest.raises(UsageError, match='--join-timeout "90"'):
        positive_duration_s("--join-timeout", "90")
