"""Which uploads are compared with what is stored, and what the comparison says."""

import pytest

from mock_server.profile.dedupe import classify_duplicate, finds_duplicates


@pytest.mark.parametrize(
    ("dedupe", "key", "compared"),
    [("page", "", True), ("page", "k", True), ("key", "k", True), ("key", "", False), ("none", "k", False)],
)
def test_an_upload_is_compared_by_its_page_or_by_a_key_that_it_has(dedupe, key, compared):
    assert finds_duplicates(dedupe, key) is compared


def test_the_same_photo_is_a_replay_and_another_one_a_conflict():
    assert classify_duplicate("a", "a") == "replay"
    assert classify_duplicate("a", "b") == "conflict"
