"""A slow link: forwards every Ethernet frame after a delay, in both directions. For kernels without netem.

    ip netns exec SWITCH python delayed_link.py NAMESPACE DEVICE PORT SECONDS

makes a TAP device DEVICE in NAMESPACE and another, PORT, in SWITCH, where it was started, and is the wire between them. Says
"ready" once both are there. TAP frames have no offloads: what goes through is what a real wire would carry.
"""

import collections
import ctypes
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF, TAP, NO_INFORMATION, NEWNET = 0x400454CA, 0x0002, 0x1000, 0x40000000
LARGEST_FRAME_BYTES = 2_048
MOST_UNDER_WAY = 20_000


def tap(name: str) -> int:
    """A new TAP device in the namespace that we are in."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP | NO_INFORMATION))
    return descriptor


def enter(path: str) -> None:
    """Go into another network namespace."""
    descriptor = os.open(path, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    os.close(descriptor)


def carry(ends: dict[int, int], delay_s: float) -> None:
    """Forward frames from one end to the other, in order, `delay_s` later; excess frames are dropped, as on a real link."""
    under_way: collections.deque[tuple[float, int, bytes]] = collections.deque()
    poll = select.poll()
    for end in ends:
        poll.register(end, select.POLLIN)
    while True:
        left_ms = None if not under_way else max(0.0, 1000 * (under_way[0][0] - time.monotonic()))
        for end, _ in poll.poll(left_ms):
            try:
                frame = os.read(end, LARGEST_FRAME_BYTES)
            except BlockingIOError:
                continue
            if len(under_way) < MOST_UNDER_WAY:
                under_way.append((time.monotonic() + delay_s, ends[end], frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, other, frame = under_way.popleft()
            try:
                os.write(other, frame)
            except OSError:
                continue


def main() -> None:
    namespace, device, port, seconds = sys.argv[1:]
    here = tap(port)
    enter(f"/run/netns/{namespace}")
    there = tap(device)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    carry({here: there, there: here}, float(seconds))


if __name__ == "__main__":
    main()
