"""MkDocs hook: keep the old addresses of the site working after pages moved from docs/ into its folders.

A redirect is written straight into the built site. It is not a page of MkDocs, so it is neither in the navigation nor in the
search index.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

MOVED = {
    "adding-a-chart.html": "how-to/adding-a-chart.html",
    "adding-a-fault.html": "how-to/adding-a-fault.html",
    "adding-a-protocol.html": "how-to/adding-a-protocol.html",
    "adding-a-strategy.html": "how-to/adding-a-strategy.html",
    "charts.html": "reference/charts.html",
    "ci.html": "how-to/ci.html",
    "compare.html": "explanation/compare.html",
    "consent.html": "how-to/consent.html",
    "doctor.html": "reference/doctor.html",
    "domain.html": "explanation/domain.html",
    "experiments.html": "explanation/experiments.html",
    "locust.html": "how-to/locust.html",
    "many-machines.html": "how-to/many-machines.html",
    "measuring.html": "explanation/measuring.html",
    "metrics.html": "reference/metrics.html",
    "mock-server-tests.html": "explanation/mock-server-tests.html",
    "mock-server.html": "reference/mock-server.html",
    "prometheus.html": "how-to/prometheus.html",
    "run-folder.html": "reference/run-folder.html",
    "scenario.html": "reference/scenario.html",
    "security.html": "explanation/security.html",
    "thresholds.html": "reference/thresholds.html",
    "verdict.schema.json": "reference/verdict.schema.json",
    "what-the-audit-catches.html": "explanation/what-the-audit-catches.html",
}
"""Old address -> new address, both relative to the root of the site."""

# relative, so that it also works from file://; the script keeps the anchor, which a refresh drops
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Moved to {address}</title>
<meta name="robots" content="noindex">
<link rel="canonical" href="{address}">
<script>location.replace("{address}" + location.hash)</script>
<meta http-equiv="refresh" content="0; url={address}">
</head>
<body><p>This page has moved to <a href="{address}">{address}</a>.</p></body>
</html>
"""


def on_post_build(config: Any, **_: Any) -> None:
    """Write a redirect at every old address. A JSON file can't redirect: its old address gets a copy."""
    site = Path(config["site_dir"])
    for old, address in MOVED.items():
        if old.endswith(".html"):
            (site / old).write_text(_PAGE.format(address=address), "utf-8")
        else:
            shutil.copyfile(site / address, site / old)
