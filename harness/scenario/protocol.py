"""How a station speaks with the server: the tables client.tus and client.tls. harness/drive/client/ speaks by them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.profile.units import FrozenModel, Size

MIN_CHUNK_BYTES = 1000


class TusOptions(FrozenModel):
    """Resumable uploads."""

    chunk_size: Annotated[Size, Field(ge=MIN_CHUNK_BYTES)] | None = None
    """Bytes a PATCH carries; all that is missing if left out."""
    checksum: Literal["none", "sha1", "sha256"] = "none"
    """What each chunk is checked by; a server that checks keeps nothing of a chunk that was cut."""
    creation_with_upload: bool = False
    """Whether the first chunk comes with the creation."""


class TlsOptions(FrozenModel):
    """TLS, where the server speaks it. Its certificate is always verified."""

    resumption: bool = True
    """Whether a station's later connections take up the TLS session of its earlier ones."""
    authority: Annotated[str, Field(min_length=1)] | None = None
    """PEM file of the certificates to trust. Left out: the mock's own, or the system's for another target."""
