"""What a simulation cannot play: named, with what to do, and never silently left out."""

from __future__ import annotations

from harness.base.errors import ConfigurationError
from harness.scenario.own_client import display_name
from harness.scenario.scenario import Scenario

_NO_MODEL = (
    "{what}: only the mock server has a model; describe yours as [server] (harness fit makes it from measured runs), "
    "or run the scenario with harness run --target URL"
)
_RUN_IT = "leave it out, or run the scenario with harness run"


def check_can_simulate(source: str, scenario: Scenario) -> None:
    """Raise ConfigurationError with everything in a scenario that a simulation does not play; `source` names its file."""
    problems = find_unsupported(scenario)
    if problems:
        label = f"{source} can't be simulated"
        raise ConfigurationError(label, problems)


def find_unsupported(scenario: Scenario) -> list[str]:
    """One line per key or fault that is not simulated, with what to do; empty if all of the scenario is."""
    if scenario.target is not None:
        names = ", ".join(step.name for step in scenario.target.steps)
        return [_NO_MODEL.format(what=f"[[target.steps]] ({names})" if names else "[target]")]
    server, readers = scenario.server, scenario.readers
    own = display_name(scenario.client.own)
    unsupported = {
        f'client.protocol = "{own}" (an own client)': bool(own),
        "server.tls": server.tls,
        "readers.paths": readers is not None and bool(readers.paths),
        "readers.cached = false": readers is not None and not readers.cached,
        "server.handler_timeout": server.handler_timeout is not None,
        "server.min_upload_rate": server.min_upload_rate is not None,
    }
    return [f"{key} is not simulated: {_RUN_IT}" for key, is_set in unsupported.items() if is_set]
