"""`python -m bench`: every measurement, one after the other."""

import sys

from bench import mock_server_bench

sys.exit(mock_server_bench.main())
