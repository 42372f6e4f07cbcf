"""Which certificates a run trusts."""

from __future__ import annotations

from pathlib import Path

from harness.run_folder.layout import RunFolder, RunRecord
from harness.scenario.scenario import parse_resolved


def read_trusted_authority(folder: RunFolder, record: RunRecord) -> str | None:
    """PEM text of what the scenario names, else of the mock's own certificate; None: the system's authorities.

    Raises OSError where a file can't be read.
    """
    named = parse_resolved(record.scenario).client.tls.authority
    if named is not None:
        return Path(named).read_text("utf-8")
    return folder.certificate.read_text("utf-8") if folder.certificate.exists() else None
