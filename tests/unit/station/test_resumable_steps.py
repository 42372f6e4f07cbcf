"""The steps of a resumable upload over HTTP: what acknowledges, what is asked again, what is given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.model import Outcome
from harness.station.resumable_steps import ResumableResponse, ResumableSteps
from mock_server.profile.upload_fields import UploadLimits

SIZE = 1000
CREATED = ResumableResponse(201, False, has_location=True)


def steps(chunk=None, **keys):
    made = ResumableSteps(SIZE, chunk, **keys)
    made.begin_attempt()
    return made


def kinds(machine, *responses):
    """What is sent before each of these responses, and after the last of them."""
    sent = []
    for response in responses:
        sent.append(machine.next())
        assert machine.responded(response) is None
    return [(one.kind, one.start, one.end, one.completes) for one in [*sent, machine.next()]]


def test_the_whole_photo_goes_with_the_creation_and_its_response_acknowledges():
    machine = steps()
    assert machine.next() == ("create", 0, SIZE, True)
    assert machine.responded(ResumableResponse(201, True)) is Outcome.ACCEPTED


def test_a_server_without_resumption_acknowledges_as_ever():
    machine = steps()
    machine.next()
    assert machine.responded(ResumableResponse(201)) is Outcome.ACCEPTED
    assert not machine.has_upload


def test_a_server_that_takes_a_part_and_names_no_place_for_the_rest_acknowledges_nothing():
    machine = steps(400)
    machine.next()
    assert machine.responded(ResumableResponse(201)) is Outcome.MALFORMED


def test_parts_are_appended_at_the_offset_and_the_last_one_completes():
    assert kinds(steps(400), CREATED, ResumableResponse(204, False)) == [
        ("create", 0, 400, False), ("append", 400, 800, False), ("append", 800, 1000, True),
    ]  # fmt: skip


def test_a_careful_creation_sends_nothing():
    assert kinds(steps(creates_empty=True), CREATED) == [("create", 0, 0, False), ("append", 0, SIZE, True)]


def test_an_offset_at_the_end_does_not_acknowledge_until_the_resource_has_answered():
    machine = steps()
    machine.announced(None)
    assert kinds(machine, ResumableResponse(204, False, SIZE)) == [("head", 0, 0, False), ("append", SIZE, SIZE, True)]
    assert machine.responded(ResumableResponse(201, True)) is Outcome.ACCEPTED


def test_a_broken_creation_that_was_announced_is_asked_for_and_resumed():
    machine = steps()
    machine.next()
    machine.announced(None)
    machine.begin_attempt()  # the connection broke
    assert kinds(machine, ResumableResponse(204, False, 300)) == [("head", 0, 0, False), ("append", 300, SIZE, True)]


def test_a_broken_creation_that_was_not_announced_begins_again():
    machine = steps()
    machine.next()
    machine.begin_attempt()
    assert machine.next().kind == "create"


def test_a_complete_upload_is_asked_for_its_response_again():
    machine = steps()
    machine.announced(None)
    assert kinds(machine, ResumableResponse(204, True, SIZE))[1] == ("append", SIZE, SIZE, True)
    assert machine.responded(ResumableResponse(200, True)) is Outcome.REPLAYED


def test_one_whose_response_is_not_repeated_is_uploaded_anew_as_nobody_knows_what_it_was():
    machine = steps()
    machine.announced(None)
    assert kinds(machine, ResumableResponse(204, True, SIZE), ResumableResponse(409, False))[2][0] == "create"


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_that_is_gone_is_created_again(status):
    machine = steps()
    machine.announced(None)
    assert kinds(machine, ResumableResponse(status)) == [("head", 0, 0, False), ("create", 0, SIZE, True)]


def test_a_conflict_names_the_offset_at_which_it_goes_on():
    responses = (CREATED, ResumableResponse(409, False, 250))
    assert kinds(steps(400), *responses)[2] == ("append", 250, 650, False)


def test_a_conflict_without_an_offset_is_asked_about():
    assert kinds(steps(400), CREATED, ResumableResponse(409, False))[2][0] == "head"


def test_a_refusal_by_the_resource_ends_the_upload_and_one_by_the_server_does_not():
    machine = steps()
    machine.announced(None)
    kinds(machine, ResumableResponse(204, False, 0))
    assert machine.responded(ResumableResponse(503, False)) is Outcome.UNAVAILABLE
    assert machine.has_upload, "what is there can be resumed"
    machine.begin_attempt()
    kinds(machine, ResumableResponse(204, False, SIZE))
    assert machine.responded(ResumableResponse(422, True)) is Outcome.UNREADABLE
    assert not machine.has_upload


def test_the_limits_of_the_server_shape_the_parts():
    machine = steps(10)
    machine.announced(UploadLimits(min_append_size=300, max_append_size=400))
    kinds(machine, ResumableResponse(204, False, 0))
    assert machine.next() == ("append", 0, 300, False)
    machine = steps()
    machine.announced(UploadLimits(max_append_size=400))
    kinds(machine, ResumableResponse(204, False, 900))
    assert machine.next() == ("append", 900, SIZE, True), "the end may be smaller than any part"


def test_a_part_that_is_too_large_is_sent_in_smaller_ones_if_the_limits_say_how_small():
    too_large = ResumableResponse(413, limits=UploadLimits(max_append_size=400))
    assert kinds(steps(), too_large)[1] == ("create", 0, 400, False)
    machine = steps()
    machine.next()
    assert machine.responded(ResumableResponse(413)) is Outcome.REJECTED


def test_an_upload_that_the_server_never_takes_whole_is_cancelled():
    machine = steps(400)
    sent = kinds(machine, CREATED._replace(limits=UploadLimits(max_size=999)))
    assert sent[1][0] == "cancel"
    assert machine.responded(ResumableResponse(204)) is Outcome.REJECTED
    assert not machine.has_upload


def test_another_resources_statuses_mean_what_its_scenario_says():
    machine = steps(classify=lambda status: Outcome.PENDING if status == 207 else Outcome.REJECTED)
    machine.next()
    assert machine.responded(ResumableResponse(207, True)) is Outcome.PENDING


RESPONSES = st.builds(
    ResumableResponse,
    st.sampled_from([200, 201, 204, 301, 400, 404, 409, 410, 413, 500, 503]),
    st.sampled_from([None, True, False]),
    st.one_of(st.none(), st.integers(0, SIZE)),
    st.one_of(
        st.none(),
        st.builds(
            UploadLimits,
            max_size=st.sampled_from([None, 0, SIZE - 1, SIZE]),
            max_append_size=st.sampled_from([None, 0, 300, 2 * SIZE]),
            min_append_size=st.sampled_from([None, 1, 400]),
        ),
    ),
    st.booleans(),
)


@pytest.mark.heavy
@given(st.lists(RESPONSES, min_size=100, max_size=100), st.sampled_from([None, 300]))
def test_whatever_a_server_answers_an_attempt_ends_and_asks_for_bytes_of_the_photo(responses, chunk):
    machine = steps(chunk)
    for response in responses:
        request = machine.next()
        assert 0 <= request.start <= request.end <= SIZE
        if request.kind == "head" and response.status < 300 and response.offset is None:
            response = response._replace(offset=0)  # noqa: PLW2901 - the client refuses such a response before
        if machine.responded(response) is not None:
            return
    pytest.fail("100 responses have not ended the attempt")
