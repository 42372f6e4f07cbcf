"""The public interface of an own client: Python code that delivers one page to a server in a way of its own.

    [client]
    protocol = "my_upload:Delivery"       # the class Delivery of my_upload.py, beside the scenario

A client is a class that satisfies `Delivery`. The harness creates one object of it per page, with the page's `Photo`, and
calls its `attempt` once per attempt with a `Sender`, over which the attempt sends its requests. The attempt returns what the
server's responses mean for the page, as an `Outcome`.

What is the harness's stays the harness's: when an attempt begins, its time limit, the connections and the address that they
lead to, whether and when there is another attempt, and the rows from which all figures come. See docs/how-to/own-client.md.

Everything named in `__all__` is public: it changes only with a note in CHANGELOG.md.
"""

from harness.base.model import Outcome
from harness.protocol.interface import Body, Delivery, Response, ResponseError, Sender
from harness.protocol.photo import Photo, PhotoSlice

__all__ = ["Body", "Delivery", "Outcome", "Photo", "PhotoSlice", "Response", "ResponseError", "Sender"]
