"""The data port's paths that uploads and reads of the results take, as metrics label them."""

from __future__ import annotations

LOGIN_ROUTE = "/v1/login"
PAGE_ROUTE = "/v1/stations/{code}/forms/{form}/pages/{page}"
RESULTS_ROUTE = "/pemilu/hhcw/ppwp/{path}.json"
FILES_ROUTE = "/v1/files"
FILE_ROUTE = "/v1/files/{id}"
UPLOAD_ROUTE = "/v1/uploads/{id}"
NATION_ROUTE = "/pemilu/hhcw/ppwp.json"
