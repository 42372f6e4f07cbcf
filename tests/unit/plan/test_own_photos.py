"""Photos of the user's own: unique where the format has room for a comment, whole for its decoders, and as they are elsewhere."""

import io

import numpy as np
import pytest
from PIL import Image

from harness.base.errors import ConfigurationError
from harness.base.model import PageKey
from harness.plan import make_plan
from harness.plan.own_photos import load_nominal_folder, load_photo_folder, make_body
from harness.plan.photos import load_photo_bank, save_photo_bank
from harness.runner.simulated_run import make_simulated_plan
from harness.scenario.loader import load_scenario

KEYS = [PageKey("CLINIC-1", "intake", 1), PageKey("מרפאה", "טופס", 2), PageKey("x" * 64, "y", 3)]
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\nstartxref\n9\n%%EOF\n"


def picture(kind):
    out = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_gets_a_comment_that_no_decoder_shows(kind):
    content = picture(kind)
    body = make_body(content, ".whatever")
    assert body.marking == kind.lower()
    whole = [body.data + body.tail(key) for key in KEYS]
    assert len(set(whole)) == len(KEYS)
    assert {len(one) for one in whole} == {body.size_bytes}
    for one in whole:
        decoded = Image.open(io.BytesIO(one))
        decoded.load()  # checks a PNG's checksums
        assert (np.asarray(decoded) == np.asarray(Image.open(io.BytesIO(content)))).all()


def test_a_pdf_gets_a_comment_after_its_end():
    body = make_body(PDF, ".pdf")
    whole = [body.data + body.tail(key) for key in KEYS]
    assert len(set(whole)) == len(KEYS)
    assert all(one.startswith(PDF) and one.count(b"\n%") == 1 + PDF.count(b"\n%") for one in whole)
    assert b"%%EOF" in whole[0][-1024:]
    assert body.kind == ("application/pdf", "pdf")


@pytest.mark.parametrize(
    ("content", "suffix", "kind"),
    [
        (b"\0\0\0\x18ftypheic....", ".heic", ("image/heic", "heic")),
        (b"anything", ".SCAN7", ("application/octet-stream", "scan7")),
        (b"\xff\xd8\xff cut short", ".jpg", ("image/jpeg", "jpg")),
        (PDF.replace(b"%%EOF", b""), ".pdf", ("application/pdf", "pdf")),
    ],
)
def test_what_has_no_room_for_a_comment_is_sent_as_it_is(content, suffix, kind):
    body = make_body(content, suffix)
    assert (body.marking, body.tail(KEYS[0]), body.data, body.kind) == ("none", b"", content, kind)
    assert body.size_bytes == len(content)


@pytest.fixture
def folder(tmp_path):
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "b.png").write_bytes(picture("PNG"))
    (samples / "a.jpg").write_bytes(picture("JPEG"))
    (samples / "c.heic").write_bytes(b"not marked")
    (samples / ".DS_Store").write_bytes(b"hidden")
    (samples / "inner").mkdir()
    return samples


def test_a_plan_sends_files_of_the_folder_and_counts_the_pages_that_look_alike(folder, tmp_path):
    (tmp_path / "own.toml").write_text(
        'name = "own"\ndeadline = "9s"\nstations = { count = 20 }\nphotos = { folder = "samples" }\n'
        '[arrivals]\nkind = "constant"\nover = "5s"\n'
    )
    scenario = load_scenario(str(tmp_path / "own.toml"))
    plan = make_plan(scenario)
    assert [body.kind.extension for body in plan.bank] == ["jpg", "png", "heic"]
    alike = [index for index in range(plan.pages) if plan.sent(index)[5].extension == "heic"]
    assert plan.same_bytes == len(alike) > 1
    assert len({page.sha256 for page in plan}) == plan.pages - len(alike) + 1
    save_photo_bank(plan.bank, tmp_path / "photos.bin")
    assert load_photo_bank(tmp_path / "photos.bin") == plan.bank
    assert scenario.mock_profile()["accepts"] == "any"
    simulated = make_simulated_plan(scenario)
    assert [body.size_bytes for body in simulated.bank] == [
        path.stat().st_size for path in sorted(folder.glob("[a-c]*"))
    ]


def test_drawn_photos_never_look_alike():
    assert make_plan(load_scenario("smoke", ["photos.size=2KB", "photos.bank=1"])).same_bytes == 0


def test_a_folder_that_cannot_be_used_is_refused_by_name(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "x.jpg").touch()
    for name, why in [
        (tmp_path / "gone", "can't be read"),
        (folder / "inner", "has no files"),
        (empty, "x.jpg is empty"),
    ]:
        with pytest.raises(ConfigurationError, match=why):
            load_photo_folder(str(name))
    (folder / "out.jpg").symlink_to("/etc/hostname")
    with pytest.raises(ConfigurationError, match="points outside"):
        load_nominal_folder(str(folder))


@pytest.mark.parametrize(
    ("photos", "why"),
    [
        ('{ folder = "samples", bank = 2 }', "bank is of drawn photos"),
        ('{ folder = "nowhere" }', "not a folder"),
        ('{ folder = "/etc" }', "points outside"),
    ],
)
def test_a_photo_table_that_does_not_go_together_is_refused(folder, tmp_path, photos, why):
    (tmp_path / "own.toml").write_text(
        f'name = "own"\ndeadline = "9s"\nphotos = {photos}\n[arrivals]\nkind = "constant"\nover = "5s"\n'
    )
    with pytest.raises(ConfigurationError, match=why):
        load_scenario(str(tmp_path / "own.toml"))
