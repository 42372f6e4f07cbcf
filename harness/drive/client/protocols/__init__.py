"""Upload protocols, one module each; `make_upload` picks the one that the scenario names.

To add a protocol: a class with the interface of `base.PageUpload`, a case here, and its name in scenario/client.py.
"""

from __future__ import annotations

from harness.drive.client.own_client import OwnClient
from harness.drive.client.protocols.base import PageUpload
from harness.drive.client.protocols.multipart import MultipartUpload
from harness.drive.client.protocols.own import OwnUpload
from harness.drive.client.protocols.put import PutUpload
from harness.drive.client.protocols.templated import TemplatedApi, TemplatedUpload
from harness.drive.client.protocols.tus import TusUpload
from harness.protocol import Photo
from harness.scenario.client import ClientOptions, TusOptions


def make_upload(
    client: ClientOptions, photo: Photo, api: TemplatedApi | None = None, own: OwnClient | None = None
) -> PageUpload:  # fmt: skip
    """The upload of one page by the scenario's protocol.

    `api` is the scenario's [target], None for the mock's own API; `own` is the scenario's own client, if it has one.
    """
    if own is not None:
        return OwnUpload(photo, own)
    if api is not None and client.protocol == "tus":
        return TusUpload(photo, client.tus or TusOptions(), api.path)
    if api is not None:
        return TemplatedUpload(photo, api)
    match client.protocol:
        case "multipart":
            return MultipartUpload(photo)
        case "put":
            return PutUpload(photo)
        case "tus":
            return TusUpload(photo, client.tus or TusOptions())
        case _:
            message = f"the own client {client.protocol} was not loaded"
            raise ValueError(message)
