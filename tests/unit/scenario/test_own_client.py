"""Own clients in a scenario: how they are named, where they are found, and by which digest they are recognised."""

import hashlib
from importlib.metadata import EntryPoint

import pytest

from harness.base.errors import ConfigurationError, UsageError
from harness.cli.options import check_code_allowed
from harness.scenario import own_client
from harness.scenario.loader import load_scenario
from harness.scenario.own_client import digest_file, digest_own_client
from harness.scenario.scenario import parse_resolved
from harness.simulate.unsupported import find_unsupported

SCENARIO = 'name = "own"\ndeadline = "9s"\narrivals = { kind = "poisson", over = "1s" }\n'
SOURCE = b"class Delivery:\n    pass\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own.toml").write_text(SCENARIO, "utf-8")
    (tmp_path / "my_upload.py").write_bytes(SOURCE)
    return tmp_path


def load(folder, protocol, **target):
    text = f'{SCENARIO}[client]\nprotocol = "{protocol}"\n'
    (folder / "own.toml").write_text(text + "".join(f"[target]\n{line}\n" for line in target.values()), "utf-8")
    return load_scenario(str(folder / "own.toml"))


def test_a_module_is_a_file_beside_the_scenario_and_its_path_is_resolved(folder):
    loaded = load(folder, "my_upload:Delivery")
    assert loaded.client.own == f"{folder}/my_upload.py:Delivery"
    assert parse_resolved(loaded.resolved()).client.own == loaded.client.own
    assert digest_own_client(loaded.client.own) == hashlib.sha256(SOURCE).hexdigest()


def test_a_built_in_protocol_is_no_own_client(folder):
    assert load(folder, "tus").client.own == ""
    assert digest_own_client("") == ""


@pytest.mark.parametrize(
    ("protocol", "problem"),
    [
        ("tuss", 'client.protocol = "tuss" is not one of multipart, put, tus'),
        ("acme", "nor an installed own client (there is none)"),
        ("../my_upload:Delivery", 'nor "module:Class", an own client beside the scenario'),
        ("my_upload:", 'client.protocol = "my_upload:" is not one of'),
        ("missing:Delivery", 'client.protocol = "missing:Delivery": file not found: '),
        ("/etc/my_upload.py:Delivery", 'client.protocol = "/etc/my_upload.py:Delivery" is not one of'),
    ],
)
def test_another_name_is_refused_with_what_is_allowed(folder, protocol, problem):
    with pytest.raises(ConfigurationError) as refused:
        load(folder, protocol)
    assert problem in str(refused.value)


def test_a_mistyped_protocol_is_answered_with_the_nearest(folder):
    with pytest.raises(ConfigurationError, match='did you mean "tus"'):
        load(folder, "tuss")


def test_a_link_that_leads_out_of_the_scenarios_folder_is_refused(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "theirs.py"
    elsewhere.write_bytes(SOURCE)
    (folder / "linked.py").symlink_to(elsewhere)
    with pytest.raises(ConfigurationError, match="points outside the file's own folder"):
        load(folder, "linked:Delivery")


def test_code_is_run_only_where_the_user_allows_it(folder):
    loaded = load(folder, "my_upload:Delivery")
    with pytest.raises(
        UsageError, match=r"would run Python code on this machine: .*/my_upload\.py; .* add --allow-code"
    ):
        check_code_allowed("own.toml", loaded, allow_code=False)
    check_code_allowed("own.toml", loaded, allow_code=True)
    check_code_allowed("own.toml", load(folder, "put"), allow_code=False)


def test_a_simulation_refuses_it_by_name(folder):
    (problem,) = find_unsupported(load(folder, "my_upload:Delivery"))
    assert problem.startswith('client.protocol = "my_upload:Delivery" (an own client) is not simulated')


def test_beside_it_target_describes_no_requests(folder):
    loaded = load(folder, "my_upload:Delivery", target='stored = { kind = "url", path = "/digests" }')
    assert parse_resolved(loaded.resolved()).target == loaded.target
    with pytest.raises(
        ConfigurationError, match=r"target\.method describes requests, and the own client my_upload:Delivery"
    ):
        load(folder, "my_upload:Delivery", target='method = "POST"')


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"the own client .*gone\.py can't be read: No such file"):
        digest_file(tmp_path / "gone.py")


def installed(monkeypatch, *values):
    points = [EntryPoint("acme", value, own_client.ENTRY_POINT_GROUP) for value in values]
    monkeypatch.setattr(own_client, "entry_points", lambda **_: points)


def test_an_installed_client_is_known_by_its_name_and_two_of_one_name_are_refused(folder, monkeypatch):
    installed(monkeypatch, "acme.client:Delivery")
    loaded = load(folder, "acme")
    assert loaded.client.own == "acme"
    with pytest.raises(UsageError, match="has no metadata, so it can't be compared"):
        digest_own_client("acme")
    with pytest.raises(ConfigurationError, match=r"nor an installed own client \(acme\)"):
        load(folder, "acne")
    installed(monkeypatch, "acme.client:Delivery", "other:Delivery")
    with pytest.raises(UsageError, match=r'client\.protocol = "acme": 2 installed packages offer it'):
        digest_own_client("acme")


def test_the_digest_of_an_installed_client_changes_with_its_version_and_files(tmp_path, monkeypatch):
    def digest(version, sha):
        info = tmp_path / f"acme-{version}-{sha}" / f"acme-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{own_client.ENTRY_POINT_GROUP}]\nacme = acme.client:Delivery\n")
        (info / "RECORD").write_text(f"acme/client.py,sha256={sha},12\nacme/__pycache__/client.pyc,,\n")
        monkeypatch.syspath_prepend(str(info.parent))
        try:
            return digest_own_client("acme")
        finally:
            monkeypatch.undo()

    found = [digest("1.0", "aaaa"), digest("1.0", "bbbb"), digest("1.1", "aaaa")]
    assert len(set(found)) == 3
