"""`python -m benchmarks`: every measurement, one after the other. With options: the mock server's alone."""

import subprocess
import sys

from benchmarks import mock, shaping
from benchmarks.report import __main__

code = mock.main()
if len(sys.argv) == 1:
    shaping.main(1000)
    code = max(code, __main__.main([]))
    for module in (
        ["benchmarks.stations", "--write"],
        ["benchmarks.surge", "--write"],
        ["benchmarks.publish"],
    ):  # links' gevent is not to be in their processes
        code = subprocess.call([sys.executable, "-m", *module]) or code
sys.exit(code)
