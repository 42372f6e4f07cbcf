"""`--otlp`: a run's metrics and spans for an OpenTelemetry collector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.base.address import mask_credentials
from harness.base.errors import UsageError
from harness.run_folder.layout import RunFolder
from harness.runner.live_stats import RunView

if TYPE_CHECKING:
    from harness.otlp.pusher import OtlpPusher


@dataclass(frozen=True)
class Otlp:
    """What a command does with --otlp; without it, nothing."""

    pusher: OtlpPusher | None = None

    def view(self, inner: RunView) -> RunView:
        """A run's view that pushes, too."""
        if self.pusher is None:
            return inner
        from harness.otlp.pusher import OtlpView  # noqa: PLC0415 - an extra

        return OtlpView(self.pusher, inner)

    def finish(self, folder: RunFolder) -> list[str]:
        """Push what is left of a judged run; what became of it, in lines for the terminal."""
        return [] if self.pusher is None else [self.pusher.finish(folder).describe()]


def parse_otlp(url: str | None) -> Otlp:
    """Connect nothing yet. Raises UsageError for an address that is none, and if the extra is not installed."""
    if not url:
        return Otlp()
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        message = f"--otlp {mask_credentials(url)} is not an address: write http://HOST:4318, where a collector takes OTLP over HTTP"
        raise UsageError(message)
    try:
        from harness.otlp.pusher import OtlpPusher  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        message = '--otlp needs OpenTelemetry: pip install "upload-harness[otel]"'
        raise UsageError(message) from None
    return Otlp(OtlpPusher(url))
