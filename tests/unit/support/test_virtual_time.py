"""Virtual time jumps over waiting, and over nothing else."""

from __future__ import annotations

import asyncio
import threading
import time

from tests.support.virtual_time import VirtualTimeLoop


def run(main):
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


def test_a_day_passes_at_once_and_timers_keep_their_order():
    async def main():
        ends = []

        async def wait(hours):
            await asyncio.sleep(hours * 3600)
            ends.append((hours, time.monotonic() - begun))

        begun = time.monotonic()
        await asyncio.gather(*(wait(hours) for hours in (24, 1, 5)))
        return ends

    assert [(hours, round(took_s, 3)) for hours, took_s in run(main)] == [(1, 3600), (5, 18000), (24, 86400)]


def test_the_clock_stands_still_while_a_thread_works():
    async def main():
        begun, released = time.monotonic(), threading.Event()
        working = asyncio.create_task(asyncio.to_thread(released.wait, 60))
        early = asyncio.create_task(asyncio.sleep(3600))
        threading.Timer(0.1, released.set).start()
        assert await working
        return time.monotonic() - begun, early.done()

    took_s, was_early = run(main)
    assert took_s < 0.01
    assert not was_early


def test_what_a_socket_brings_comes_before_the_next_timer():
    async def main():
        async def answer(reader, writer):
            writer.write(await reader.readexactly(5))
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            async with asyncio.timeout(0.001):
                writer.write(b"hello")
                answered = await reader.read()
            writer.close()
            await writer.wait_closed()
        return answered

    assert run(main) == b"hello"


def test_a_timer_that_a_rounding_missed_is_reached():
    async def main():
        end = time.monotonic() + 1.0
        while (left_s := end - time.monotonic()) > 0:  # noqa: ASYNC110 - what is tested
            await asyncio.sleep(left_s / 2)
        return True

    assert run(main)


def test_the_real_clock_is_back_afterwards():
    before = time.monotonic()

    async def main():
        await asyncio.sleep(3600)

    run(main)
    assert time.monotonic() - before < 60
