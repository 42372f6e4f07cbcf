from harness.api.play import RunFailedError as RunFailedError
from harness.api.play import run as run
from harness.api.play import simulate as simulate
from harness.api.run import FinishedRun as FinishedRun
from harness.api.run import open_run as open_run
from harness.base.errors import ConfigurationError as ConfigurationError
from harness.base.errors import HarnessError as HarnessError

__version__: str
