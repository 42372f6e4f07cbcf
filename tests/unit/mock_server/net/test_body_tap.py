"""A body taken from its connection: to its last byte and no further."""

from mock_server.net.body_tap import BodyTap


class Body:
    def __init__(self, length: int, *, refuses_from: int = 10**9) -> None:
        self.taken, self.left, self.ends, self.refuses_from = b"", b"", 0, refuses_from
        self.tap = BodyTap(length, self.take, self.leave, self.end)

    def take(self, data, start, end):
        if len(self.taken) >= self.refuses_from:
            raise ValueError
        self.taken += data[start:end]

    def leave(self, data):
        assert type(data) is bytes, "the library keeps it, and the buffer is overwritten"
        self.left += data

    def end(self):
        self.ends += 1


def test_it_ends_with_the_last_byte_of_the_body():
    body = Body(6)
    assert body.tap.feed(b"__abcd", 2, 6) == 6
    assert (body.taken, body.ends) == (b"abcd", 0)
    assert body.tap.feed(bytearray(b"efGET"), 0, 5) == 2, "the next request's"
    assert (body.taken, body.left, body.ends) == (b"abcdef", b"", 1)


def test_what_follows_an_error_is_left_and_counted():
    body = Body(9, refuses_from=3)
    for piece in (b"abc", b"def"):
        assert body.tap.feed(piece, 0, 3) == 3
    assert isinstance(body.tap.error, ValueError)
    assert body.tap.feed(bytearray(b"ghiGET"), 0, 6) == 3
    assert (body.taken, body.left, body.ends) == (b"abc", b"defghi", 1)


def test_what_follows_the_release_is_left():
    body = Body(6)
    body.tap.feed(b"abc", 0, 3)
    body.tap.release()
    body.tap.feed(b"def", 0, 3)
    assert (body.taken, body.left, body.ends, body.tap.error) == (b"abc", b"def", 1, None)
