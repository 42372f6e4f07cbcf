"""How far a resumable upload has come: the state that the mock server and a simulation share."""

from mock_server.profile.upload_progress import UploadProgress


def test_the_reported_offset_is_the_length_only_once_the_page_is_stored():
    upload = UploadProgress(length=100, offset=100)
    assert (upload.reported_offset, upload.is_complete) == (100, True)
    upload.recover()
    assert (upload.reported_offset, upload.is_complete) == (99, False), (
        "all bytes but no page: the last one is asked for again"
    )
    upload.is_stored = True
    assert (upload.reported_offset, upload.is_complete) == (100, True)


def test_a_pretended_upload_is_complete_whatever_the_client_sends_until_the_server_restarts():
    upload = UploadProgress(length=100, offset=10)
    assert not upload.continues_at(50)
    upload.pretend_complete()
    assert upload.is_complete
    assert upload.continues_at(50)
    upload.recover()
    assert (upload.reported_offset, upload.continues_at(10), upload.continues_at(100)) == (10, True, False)


def test_a_locked_upload_is_refused_before_an_expired_one_and_a_restart_unlocks():
    upload = UploadProgress(length=100, is_locked=True)
    upload.expire()
    assert upload.refusal() == (423, "The upload is in use by another request")
    upload.recover()
    assert upload.refusal() == (410, "The upload has expired")
    assert UploadProgress(length=1).refusal() is None


def test_truncating_never_adds_bytes():
    upload = UploadProgress(length=100, offset=40)
    upload.truncate(60)
    assert upload.offset == 40
    upload.truncate(7)
    assert upload.offset == 7
