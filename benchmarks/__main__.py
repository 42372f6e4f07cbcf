"""`python -m benchmarks`: every measurement, one after the other. `twin`, `twin_speed`, `capacity`, `kaliwates`, `live_page` or `many_stations` first: that one alone. With options: the mock server's."""

import subprocess
import sys

from benchmarks import mock

if sys.argv[1:2] in (["twin"], ["twin_speed"], ["capacity"], ["kaliwates"], ["live_page"], ["many_stations"]):
    sys.exit(subprocess.call([sys.executable, "-m", f"benchmarks.{sys.argv[1]}", *sys.argv[2:]]))
code = mock.main()
if len(sys.argv) == 1:
    # each in a process of its own: memory and CPU of one must not be counted in another, and shaping imports gevent
    for module in (
        ["benchmarks.shaping"],
        ["benchmarks.report"],
        ["benchmarks.scale", "--write"],
        ["benchmarks.many_stations", "--write"],
        ["benchmarks.live_page", "--write"],
        ["benchmarks.twin"],
        ["benchmarks.twin_speed", "--write"],
        ["benchmarks.capacity"],
        ["benchmarks.publish"],
    ):
        code = subprocess.call([sys.executable, "-m", *module]) or code
sys.exit(code)
