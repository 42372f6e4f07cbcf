"""Whom a run trusts when it speaks TLS with a target: one context for uploads, consent, metrics and what is stored."""

from __future__ import annotations

import ssl
from typing import NamedTuple


class TlsPeer(NamedTuple):
    """How https is spoken with an address: whom to trust, and the name that the certificate must be made out to."""

    context: ssl.SSLContext
    server_name: str


def make_tls_context(authority: str | None) -> ssl.SSLContext:
    """A client's context that trusts one authority (PEM text), or the system's if None. Certificates are always verified.

    Raises ssl.SSLError (an OSError) where the text holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=authority)
    return context
