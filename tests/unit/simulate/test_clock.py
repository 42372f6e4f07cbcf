"""Virtual time: events in their order, coroutines that wait for them."""

import pytest

from harness.simulate.clock import VirtualClock, VirtualTask, cancel, suspend


def test_events_are_called_in_the_order_of_their_moments_and_then_of_their_scheduling():
    clock = VirtualClock()
    called: list[object] = []
    for name, at_s in (("c", 2.0), ("a", 1.0), ("d", 2.0), ("b", 1.0)):
        clock.call_at(at_s, called.append, name)
    clock.schedule_in_order(1.0, lambda: called.append("last at 1"))
    clock.run()
    assert called == ["a", "b", "last at 1", "c", "d"]
    assert clock.now_s == 2.0


def test_an_event_of_the_past_is_called_now():
    clock = VirtualClock()
    seen: list[object] = []
    clock.call_at(5.0, lambda: clock.call_at(1.0, lambda: seen.append(clock.now_s)))
    clock.run()
    assert seen == [5.0]


def test_a_cancelled_event_is_not_called_in_either_queue():
    clock = VirtualClock()
    called: list[object] = []
    clock.call_later(1.0, called.append, "heap").cancel()
    cancel(clock.schedule_in_order(1.0, lambda: called.append("queue")))
    clock.schedule_in_order(2.0, lambda: called.append("kept"))
    clock.run()
    assert called == ["kept"]


def test_run_stops_at_its_limit_and_advance_moves_the_clock_there():
    clock = VirtualClock()
    called: list[object] = []
    clock.call_at(1.0, called.append, 1)
    clock.call_at(3.0, called.append, 3)
    clock.run(2.0)
    assert (called, clock.now_s) == ([1], 1.0)
    clock.advance(2.5)
    assert (called, clock.now_s) == ([1], 2.5)


def test_stopping_ends_the_run_after_the_present_event():
    clock = VirtualClock()
    called: list[object] = []

    def stop() -> None:
        clock.is_stopped = True

    clock.call_at(1.0, stop)
    clock.call_at(1.0, called.append, "later")
    clock.run()
    assert called == []
    clock.run()
    assert called == ["later"]


def test_a_task_sleeps_in_virtual_time_and_is_over_at_its_end():
    clock = VirtualClock()
    seen: list[object] = []
    task = VirtualTask(clock)

    async def work() -> None:
        await task.sleep_until(4.0)
        seen.append(clock.now_s)
        await task.sleep_until(1.0)
        seen.append(clock.now_s)
        seen.append(await suspend())

    task.start(work())
    clock.call_at(6.0, task.resume, "value")
    clock.run()
    assert (seen, task.is_over) == ([4.0, 4.0, "value"], True)


def test_an_error_thrown_into_a_sleeping_task_wakes_it_once():
    clock = VirtualClock()
    seen: list[object] = []
    task = VirtualTask(clock)

    async def work() -> None:
        with pytest.raises(KeyError):
            await task.sleep_until(10.0)
        seen.append(clock.now_s)
        await task.sleep_until(20.0)
        seen.append(clock.now_s)

    task.start(work())
    clock.call_at(3.0, task.throw, KeyError())
    clock.run()
    assert seen == [3.0, 20.0], "the sleep that was broken off does not end the next one"


def test_an_abandoned_task_never_goes_on():
    clock = VirtualClock()
    seen: list[object] = []
    task = VirtualTask(clock)

    async def work() -> None:
        await task.sleep_until(1.0)
        seen.append("woken")

    task.start(work())
    task.abandon()
    clock.run()
    task.resume()
    assert (seen, task.is_over) == ([], True)
