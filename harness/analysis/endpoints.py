"""The metrics endpoints of a server of the user's own that could not be scraped, or not always."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from harness.analysis.summary import EndpointFailures
from harness.run_folder import scrape_log
from harness.run_folder.layout import RunRecord


def find_failing_endpoints(folder: Path, record: RunRecord) -> list[EndpointFailures]:
    """One entry for each of `[[target.metrics]]` with scrapes that failed; `folder` holds the scrapes."""
    target = record.scenario.get("target") or {}
    found = []
    for endpoint in target.get("metrics", []):
        name = endpoint["name"]
        if name not in scrape_log.list_targets(folder):
            continue
        errors = [scrape.error for scrape in scrape_log.read_scrapes(folder, name)]
        failed = Counter(filter(None, errors))
        if failed:
            url = _url(record.target, endpoint["port"], endpoint["path"], tls=endpoint["tls"])
            (error, _), *_ = failed.most_common(1)
            found.append(EndpointFailures(name=name, url=url, scrapes=len(errors), failed=failed.total(), error=error))
    return found


def _url(target: str, port: int, path: str, *, tls: bool) -> str:
    host = urlsplit(target).hostname or ""
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}{path}"
