"""Upload protocols, one module each; `make_upload` picks the one that the scenario names.

To add a protocol: a class with the interface of `base.PageUpload`, a case here, and its name in scenario/client.py.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.drive.client.protocols.base import PageUpload, UploadContext
from harness.drive.client.protocols.multipart import MultipartUpload
from harness.drive.client.protocols.own import OwnContext, OwnUpload
from harness.drive.client.protocols.put import PutUpload
from harness.drive.client.protocols.resumable import ResumableHttpUpload
from harness.drive.client.protocols.single import SingleUpload
from harness.drive.client.protocols.templated import TemplatedContext, TemplatedUpload
from harness.drive.client.protocols.tus import TusUpload
from harness.protocol import Photo
from harness.scenario.client import ClientOptions, ResumableOptions, TusOptions

_WHOLE: dict[str, Callable[[Photo], PageUpload]] = {"multipart": MultipartUpload, "put": PutUpload}
"""The protocols that send a page in one request, from its beginning in every attempt."""


def make_upload(client: ClientOptions, photo: Photo, context: UploadContext | None = None) -> PageUpload:
    """The upload of one page by the scenario's protocol; the context of a [target] or an own client decides first."""
    if isinstance(context, OwnContext):
        return OwnUpload(photo, context.client)
    if client.protocol == "resumable":
        return ResumableHttpUpload(photo, client.resumable or ResumableOptions(), context)
    if isinstance(context, TemplatedContext):
        if client.protocol == "tus":
            return TusUpload(photo, client.tus or TusOptions(), context.api.path, names_file=True)
        single = context.api.single
        return TemplatedUpload(photo, context.api, context.station) if single is None else SingleUpload(photo, single)
    if client.protocol == "tus":
        return TusUpload(photo, client.tus or TusOptions())
    if client.protocol not in _WHOLE:
        message = f"the own client {client.protocol} was not loaded"
        raise ValueError(message)
    return _WHOLE[client.protocol](photo)
