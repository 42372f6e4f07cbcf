"""The trace of an attempt: what a shell computes from the row is what every request carries."""

import hashlib
import re

from harness.drive.client.pool import add_header
from harness.run_folder.trace import trace_id, trace_prefix, traceparent
from mock_server.http.request_context import read_trace_id

PREFIX = trace_prefix("20240214T1200-x", "3509191001001", "ppwp", 1)


def test_the_trace_id_is_the_digest_of_run_page_and_attempt():
    digest = hashlib.sha256(b"20240214T1200-x/3509191001001/ppwp/1/2").hexdigest()
    assert trace_id(PREFIX, 2) == digest[:32]
    assert traceparent(PREFIX, 2) == f"traceparent: 00-{digest[:32]}-{digest[32:48]}-01\r\n".encode()
    assert trace_id(PREFIX, 3) != trace_id(PREFIX, 2)


def test_the_header_is_one_that_w3c_trace_context_allows_and_the_mock_reads():
    line = traceparent(PREFIX, 7).decode()
    assert re.fullmatch(r"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-01\r\n", line)
    assert read_trace_id(line.split()[1]) == trace_id(PREFIX, 7)


def test_it_is_added_behind_the_request_line_and_nothing_else_changes():
    head, body = b"PUT /x HTTP/1.1\r\nHost: y\r\n\r\n", memoryview(b"a\nb")
    buffers: list[bytes | memoryview] = [head, body]
    changed = add_header(buffers, b"traceparent: z\r\n")
    assert changed == [b"PUT /x HTTP/1.1\r\ntraceparent: z\r\nHost: y\r\n\r\n", body]
    assert buffers == [head, body]
