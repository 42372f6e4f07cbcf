"""`python -m bench`: every measurement, one after the other. With options: the mock server's alone."""

import subprocess
import sys

from bench import links, mock_server_bench, report

code = mock_server_bench.main()
if len(sys.argv) == 1:
    links.main(1000)
    code = max(code, report.main([]))
    for module in (
        ["bench.stations", "--write"],
        ["bench.surge", "--write"],
        ["bench.docs"],
    ):  # links' gevent is not to be in their processes
        code = subprocess.call([sys.executable, "-m", *module]) or code
sys.exit(code)
