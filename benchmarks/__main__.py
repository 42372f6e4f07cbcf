"""`python -m benchmarks`: every measurement, one after the other. `twin` first: that one alone. With options: the mock server's."""

import subprocess
import sys

from benchmarks import mock

if sys.argv[1:2] == ["twin"]:
    sys.exit(subprocess.call([sys.executable, "-m", "benchmarks.twin", *sys.argv[2:]]))
code = mock.main()
if len(sys.argv) == 1:
    # each in a process of its own: memory and CPU of one must not be counted in another, and shaping imports gevent
    for module in (
        ["benchmarks.shaping"],
        ["benchmarks.report"],
        ["benchmarks.scale", "--write"],
        ["benchmarks.twin"],
        ["benchmarks.publish"],
    ):
        code = subprocess.call([sys.executable, "-m", *module]) or code
sys.exit(code)
