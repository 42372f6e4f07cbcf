"""`python -m bench`: every measurement, one after the other. With options: the mock server's alone."""

import subprocess
import sys

from bench import links, mock_server_bench, report

code = mock_server_bench.main()
if len(sys.argv) == 1:
    links.main(1000)
    code = max(code, report.main([]))
    code = subprocess.call([sys.executable, "-m", "bench.docs"]) or code  # links' gevent is not to be in its processes
sys.exit(code)
