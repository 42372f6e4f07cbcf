"""The API's description: OpenAPI 3.1; tests compare it with the routes and with real responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mock_server.profile.forms import PAGES_PER_FORM

_Json = dict[str, Any]

_REASONS = {
    400: "The request is malformed", 401: "No token, or an invalid one", 403: "The token belongs to another station",
    404: "Not found", 405: "Method not allowed", 408: "The body took too long", 409: "Another photo is stored already",
    410: "The upload has expired", 411: "The length is missing", 412: "Another version of tus is required",
    413: "Too large", 415: "Another media type is required", 417: "The expectation cannot be met",
    422: "The photo is unreadable", 423: "The upload is in use", 429: "Too many requests or wrong PINs",
    431: "The header is too large", 460: "The checksum does not match", 500: "The store failed", 503: "Overloaded, or stopping",
}  # fmt: skip
_RECEIPT: _Json = {
    "type": "object",
    "required": ["receipt", "sha256", "size"],
    "properties": {
        "receipt": {"type": "string"},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "size": {"type": "integer"},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
}
_PROBLEM: _Json = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_LOGIN: _Json = {
    "type": "object",
    "required": ["station", "pin"],
    "properties": {"station": {"type": "string"}, "pin": {"type": "string"}},
}
_TOKEN: _Json = {
    "type": "object",
    "required": ["token", "expires_at"],
    "properties": {"token": {"type": "string"}, "expires_at": {"type": "string", "format": "date-time"}},
}
_FORM: _Json = {
    "type": "object",
    "required": ["photo"],
    "properties": {
        "photo": {"type": "string", "contentMediaType": "image/jpeg"},
        "reading": {"type": "object", "description": "The figures, with the names of the public read API"},
    },
}
_STATE: _Json = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"enum": ["queued", "reading", "stored", "unreadable", "conflict", "refused"]}},
}
_ATTEMPT = [("X-Attempt", "integer", "Number of the attempt, from 1")]
_UPLOAD = [
    *_ATTEMPT,
    (
        "Idempotency-Key",
        "string",
        "Makes a repetition known as one (dedupe = key); at most 255 printable ASCII characters",
    ),
    ("Repr-Digest", "string", "sha-256=:…: of the photo (RFC 9530)"),
    ("Upload-Timeout", "number", "Seconds that the client will wait"),
]
_RESUMABLE = [
    (
        "Upload-Complete",
        "string",
        "?1 if the photo is whole with this request, ?0 if more follows: the upload can be resumed",
    ),
    ("Upload-Length", "integer", "Total bytes"),
    ("Upload-Draft-Interop-Version", "integer", "8: interim responses (104) are understood"),
]
_TUS = [("Tus-Resumable", "string", "1.0.0"), *_UPLOAD]
_GOOD = {202: "Accepted; its status can be polled", 304: "Not modified since the response with this ETag"}
_UPLOAD_ERRORS = (400, 401, 403, 404, 408, 411, 413, 415, 417, 422, 429, 503)


def openapi_document() -> _Json:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mock of an election's photo upload",
            "version": "1",
            "description": "The upload API is this project's own design, because no real one is public; the read API follows "
            "what public scrapers documented. Under a profile with faults any response may be missing, late or wrong.",
        },
        "paths": {
            **_login_paths(),
            **_page_paths(),
            **_resumable_paths(),
            **_tus_paths(),
            **_public_paths(),
            **_service_paths(),
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": _PROBLEM},
        },
    }


def _login_paths() -> _Json:
    login = _operation("Log in", {200: _TOKEN}, (400, 401, 408, 413, 417, 429))
    login["requestBody"] = {"required": True, "content": {"application/json": {"schema": _LOGIN}}}
    return {"/v1/login": {"post": login}}


def _page_paths() -> _Json:
    where = [
        _path_parameter("code", {"type": "string", "pattern": "^[0-9]{13}$"}),
        _path_parameter("form", {"enum": list(PAGES_PER_FORM)}),
        _path_parameter("page", {"type": "integer", "minimum": 1, "maximum": max(PAGES_PER_FORM.values())}),
    ]
    good = {200: _RECEIPT, 201: _RECEIPT, 202: _STATE}
    post = _operation("Upload a page as a form", good, (*_UPLOAD_ERRORS, 409), _UPLOAD, secure=True)
    post["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
    reading = [*_UPLOAD, *_RESUMABLE, ("Reading", "string", "The figures as JSON")]
    put = _operation("Upload a page as the photo alone", good, (*_UPLOAD_ERRORS, 409), reading, secure=True)
    put["requestBody"] = {"required": True, "content": {"image/jpeg": {"schema": {}}}}
    status = _operation("Status of a page", {200: _STATE}, (401, 403, 404), _ATTEMPT, secure=True)
    path = "/v1/stations/{code}/forms/{form}/pages/{page}"
    return {
        path: {"parameters": where, "post": post, "put": put, "options": _upload_options()},
        path + "/status": {"parameters": where, "get": status},
    }


def _upload_options() -> _Json:
    return _operation("Limits of resumable uploads, in Upload-Limit", {204: None}, ())


def _resumable_paths() -> _Json:
    head = _operation("Offset of a resumable upload", {204: None}, (401, 403, 404, 410), _ATTEMPT, secure=True)
    headers = [*_UPLOAD, *_RESUMABLE, ("Upload-Offset", "integer", "Where the bytes begin")]
    errors = (*_UPLOAD_ERRORS, 409, 410, 423)
    patch = _operation(
        "Append to a resumable upload; the last append is answered as the upload of the page",
        {200: _RECEIPT, 201: _RECEIPT, 204: None},
        errors,
        headers,
        secure=True,
    )
    patch["requestBody"] = {"required": True, "content": {"application/partial-upload": {"schema": {}}}}
    delete = _operation("Cancel a resumable upload", {204: None}, (401, 403, 404, 410), _ATTEMPT, secure=True)
    return {
        "/v1/uploads/{id}": {
            "parameters": [_path_parameter("id", {"type": "string"})], "head": head, "get": head, "patch": patch,
            "delete": delete, "options": _upload_options(),
        },
    }  # fmt: skip


def _tus_paths() -> _Json:
    body: _Json = {"content": {"application/offset+octet-stream": {"schema": {}}}}
    creating = [
        ("Upload-Length", "integer", "Total bytes"),
        ("Upload-Metadata", "string", "station, form, page, reading"),
    ]
    create = _operation(
        "Begin a resumable upload", {201: None}, (*_UPLOAD_ERRORS, 409, 412, 460), [*_TUS, *creating], secure=True
    )
    create["requestBody"] = body
    resuming = [
        ("Upload-Offset", "integer", "Where the bytes begin"),
        ("Upload-Checksum", "string", "sha1 or sha256, base64"),
    ]
    patch = _operation(
        "Send more bytes of a resumable upload",
        {204: None},
        (*_UPLOAD_ERRORS, 409, 410, 412, 423, 460),
        [*_TUS, *resuming],
        secure=True,
    )
    patch["requestBody"] = {"required": True, **body}
    head = _operation("Offset of a resumable upload", {200: None}, (401, 403, 404, 410, 412, 423), _TUS, secure=True)
    delete = _operation(
        "Terminate a resumable upload", {204: None}, (400, 401, 403, 404, 410, 412, 423), _TUS, secure=True
    )
    override = [*_TUS, *resuming, ("X-HTTP-Method-Override", "string", "HEAD, PATCH or DELETE")]
    instead = _operation(
        "The methods above, for clients that can only POST", {200: None, 204: None}, (*_UPLOAD_ERRORS, 405, 409, 410, 412, 423, 460),
        override, secure=True,
    )  # fmt: skip
    instead["requestBody"] = body
    options = _operation("Supported version and extensions of tus", {204: None}, ())
    one = [_path_parameter("id", {"type": "string"})]
    return {
        "/v1/files": {"post": create, "options": options},
        "/v1/files/{id}": {
            "parameters": one, "head": head, "patch": patch, "delete": delete, "post": instead, "options": options,
        },
    }  # fmt: skip


def _public_paths() -> _Json:
    path = [_path_parameter("path", {"type": "string"})]
    regions = {"type": "array", "items": {"type": "object", "required": ["nama", "id", "kode", "tingkat"]}}
    sums = {"type": "object", "required": ["ts", "chart"]}
    caching = [
        ("Cache-Control", "string", "no-cache: computed anew"),
        ("If-None-Match", "string", "ETag of an earlier response: 304 if it is still the latest"),
    ]
    image = _operation("A photo, if photos are stored", {200: None}, (404,))
    image["responses"]["200"]["content"] = {"image/jpeg": {"schema": {}}}
    return {
        "/wilayah/pemilu/ppwp/{path}.json": {
            "parameters": path,
            "get": _operation("Regions below one: 0, 35, 35/3509, …", {200: regions, 304: None}, (404,), caching),
        },
        "/pemilu/hhcw/ppwp.json": {"get": _operation("National sums", {200: sums, 304: None}, (), caching)},
        "/pemilu/hhcw/ppwp/{path}.json": {
            "parameters": path,
            "get": _operation("Sums of a region, or a station's figures", {200: sums, 304: None}, (404,), caching),
        },
        "/images/{name}": {"parameters": [_path_parameter("name", {"type": "string"})], "get": image},
    }


def _service_paths() -> _Json:
    status = {"type": "object", "required": ["status"]}
    metrics = _operation("Metrics for Prometheus", {200: None}, ())
    metrics["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/metrics": {"get": metrics},
        "/healthz": {"get": _operation("Liveness", {200: status}, ())},
        "/readyz": {"get": _operation("Readiness for uploads", {200: status}, (503,))},
        "/openapi.json": {"get": _operation("This description", {200: {"type": "object"}}, ())},
    }


def _operation(
    summary: str,
    good: Mapping[int, _Json | None],
    bad: tuple[int, ...],
    headers: list[tuple[str, str, str]] | None = None,
    *,
    secure: bool = False,
) -> _Json:
    responses: _Json = {}
    for status, schema in good.items():
        content = {} if schema is None else {"content": {"application/json": {"schema": schema}}}
        responses[str(status)] = {
            "description": _GOOD.get(status, "Done"),
            **content,
        }
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in (*bad, 400):
        responses[str(status)] = {"description": _REASONS[status], "content": problem}
    operation: _Json = {"summary": summary, "responses": responses}
    if headers:
        operation["parameters"] = [
            {"name": name, "in": "header", "schema": {"type": kind}, "description": text}
            for name, kind, text in headers
        ]
    if secure:
        operation["security"] = [{"token": []}]
    return operation


def _path_parameter(name: str, schema: _Json) -> _Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}
