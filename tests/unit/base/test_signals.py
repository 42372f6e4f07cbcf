"""Which signals stop a command: a closed terminal does, unless nohup said that it must not."""

import signal

import pytest

from harness.base.signals import SignalHandler, handled_signals
from harness.run_folder.layout import STOPPED_BY_SIGNAL
from harness.runner.exit_reason import ended_by_signal


@pytest.fixture
def hangup():
    """Restores what SIGHUP does."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_asks_to_stop(hangup):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with SignalHandler() as signals:
        signal.raise_signal(signal.SIGHUP)
    assert signals.received is signal.SIGHUP


def test_under_nohup_it_stays_ignored(hangup):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signal.SIGHUP not in handled_signals()
    with SignalHandler() as signals:
        signal.raise_signal(signal.SIGHUP)
    assert signals.received is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_a_signal_ended_exits_as_a_shell_would_say(number):
    assert STOPPED_BY_SIGNAL[ended_by_signal(number, 3.0).how] == 128 + number
