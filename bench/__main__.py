"""`python -m bench`: every measurement, one after the other."""

import sys

from bench import links, mock_server_bench, report

code = mock_server_bench.main()
if len(sys.argv) == 1:
    links.main(1000)
    code = max(code, report.main([]))
sys.exit(code)
