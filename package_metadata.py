"""What a package index shows of the project: the README with links that work there, and the project's addresses.

The repository's address is not known to the code. A build that sets UPLOAD_HARNESS_REPOSITORY (the release workflow does) gets links
into the repository; any other build leaves out what would not work elsewhere: images, and the links of texts.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY, REFERENCE = "UPLOAD_HARNESS_REPOSITORY", "UPLOAD_HARNESS_REF"
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#|mailto:)([^)\s]+)\)")


def outside_readme(text: str, repository: str, reference: str) -> str:
    """The README for readers outside the repository, whose address is `repository` ("": unknown) at a tag or commit."""

    def replaced(link: re.Match[str]) -> str:
        bang, label, path = link.groups()
        if repository:
            kind = "raw" if bang else "blob"
            return f"{bang}[{label}]({repository}/{kind}/{reference}/{path})"
        return "" if bang else label

    return re.sub(r"\n{3,}", "\n\n", _LINK.sub(replaced, text))


def project_urls(repository: str) -> dict[str, str]:
    """The addresses of a project whose repository is known."""
    if not repository:
        return {}
    return {
        "Repository": repository,
        "Documentation": f"{repository}/tree/HEAD/docs",
        "Changelog": f"{repository}/blob/HEAD/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }


class PackageMetadata(MetadataHookInterface):
    """Fills in `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling with the table [project]."""
        repository = os.environ.get(REPOSITORY, "").rstrip("/")
        text = Path(self.root, "README.md").read_text("utf-8")
        readme = outside_readme(text, repository, os.environ.get(REFERENCE, "HEAD"))
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
        metadata["urls"] = project_urls(repository)
