"""Signatures of requests as AWS' APIs and S3-like stores want them (Signature Version 4). Pure: the time is an argument.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from harness.base.errors import UsageError
from harness.scenario.request import RequestSigning

UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
ACCESS_KEY, SECRET_KEY, SESSION_TOKEN = RequestSigning.variables
_UNRESERVED = "-._~"


@dataclass
class AwsSigner:
    """Signs requests with one pair of keys. Holds a secret: not for logs."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str
    service: str
    session_token: str = field(repr=False, default="")
    _key_of_day: tuple[str, bytes] = field(repr=False, default=("", b""))

    def sign(self, method: str, path: str, headers: Mapping[str, str], payload: str, now: datetime) -> dict[str, str]:
        """The headers to add to a request; `headers` are those that it has and that count: Host, and every X-Amz-….

        `path` is as it is sent, with its query. `payload` is the body's SHA-256 in hexadecimal, or `UNSIGNED`.
        """
        moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        added = {"X-Amz-Date": moment}
        if self.service == "s3":  # other services take the digest from the signature alone
            added["X-Amz-Content-Sha256"] = payload
        if self.session_token:
            added["X-Amz-Security-Token"] = self.session_token
        signed = {name.lower(): " ".join(value.split()) for name, value in {**headers, **added}.items()}
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        where, _, query = path.partition("?")
        request = f"{method}\n{self._canonical_path(where)}\n{_canonical_query(query)}\n{lines}\n{names}\n{payload}"
        scope = f"{moment[:8]}/{self.region}/{self.service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.new(self._signing_key(moment[:8]), text.encode(), hashlib.sha256).hexdigest()
        credential = f"Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        return {**added, "Authorization": f"AWS4-HMAC-SHA256 {credential}"}

    def _canonical_path(self, path: str) -> str:
        """S3 signs a path as it is; all others normalise it and encode it once more."""
        if self.service == "s3":
            return quote(unquote(path), safe=f"/{_UNRESERVED}")
        segments: list[str] = []
        for segment in path.split("/"):
            if segment == "..":
                segments = segments[:-1]
            elif segment not in {"", "."}:
                segments.append(segment)
        end = "/" if segments and path.endswith(("/", "/.", "/..")) else ""
        return quote("/" + "/".join(segments) + end, safe=f"/{_UNRESERVED}")

    def _signing_key(self, day: str) -> bytes:
        """The key of one day: it costs four hashes, so it is kept."""
        if self._key_of_day[0] != day:
            key = f"AWS4{self.secret_key}".encode()
            for part in (day, self.region, self.service, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._key_of_day = (day, key)
        return self._key_of_day[1]


def _canonical_query(query: str) -> str:
    pairs = []
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        pairs.append((quote(unquote(name), safe=_UNRESERVED), quote(unquote(value), safe=_UNRESERVED)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def signed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of a request's headers that a signature must cover."""
    return {
        name: value for name, value in headers.items() if name.lower() == "host" or name.lower().startswith("x-amz-")
    }


def make_signer(signing: RequestSigning | None, environment: Mapping[str, str]) -> AwsSigner | None:
    """The signer that [target.sign] describes; None if requests aren't signed. Raises UsageError without the keys."""
    if signing is None:
        return None
    missing = [name for name in (ACCESS_KEY, SECRET_KEY) if not environment.get(name)]
    if missing:
        message = f"[target.sign] needs {' and '.join(missing)}: set it in the environment"
        raise UsageError(message)
    return AwsSigner(
        environment[ACCESS_KEY],
        environment[SECRET_KEY],
        signing.region,
        signing.service,
        environment.get(SESSION_TOKEN, ""),
    )
