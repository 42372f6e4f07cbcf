"""Errors of the harness."""

import copy

from harness.base.errors import ConfigurationError


def test_a_configuration_error_is_rebuilt_whole_as_on_its_way_from_another_process():
    # pickling, which brings it back from another process, and copying rebuild an exception in the same way
    error = copy.copy(ConfigurationError("smoke.toml", ["seed = -1 should be 0 or more", "no deadline"]))
    assert (error.source, error.problems) == ("smoke.toml", ["seed = -1 should be 0 or more", "no deadline"])
    assert str(error) == "smoke.toml:\n  seed = -1 should be 0 or more\n  no deadline"
