"""The garbage collector pauses during a block, and is afterwards what it was before."""

import gc

import pytest

from harness.base.garbage import without_collections


def test_collections_are_off_within_the_block_and_on_after_it_also_after_an_error():
    found = []
    with without_collections(), without_collections():
        found.append(gc.isenabled())
    found.append(gc.isenabled())
    with pytest.raises(KeyError), without_collections():
        found.append(dict[str, bool]()["missing"])
    assert [*found, gc.isenabled()] == [False, True, True]


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with without_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
