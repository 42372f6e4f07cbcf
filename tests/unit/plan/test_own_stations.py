"""Station lists of the user's own: any codes, groups, columns and due times; and accounts, which stay secret."""

import numpy as np
import pytest

from harness.base.errors import ConfigurationError
from harness.plan import make_plan
from harness.plan.arrivals import assign_due_times
from harness.plan.own_stations import (
    find_station_problems,
    load_accounts,
    parse_accounts,
    parse_station_list,
    request_columns,
)
from harness.plan.photos import TAIL_BYTES, make_tail
from harness.scenario.arrivals import ListedArrivals
from harness.scenario.loader import load_scenario
from harness.scenario.stations import StationOptions

CODES = ["CLINIC-017", "עיר 12", "مركز/5", "診療所", "100%", "{x}", "a" * 64]
LIST = "code,zone,district,email\n" + "".join(
    f"{code},Z{n % 2},D{n % 3},u{n}@example.org\n" for n, code in enumerate(CODES)
)


def options(**keys):
    return StationOptions.model_validate({"file": "sites.csv", **keys})


def parse(text, **keys):
    return parse_station_list(text, "sites.csv", options(**keys))


def scenario(tmp_path, text=LIST, target="", **keys):
    (tmp_path / "sites.csv").write_text(text, "utf-8")
    table = "".join(f"{key} = {value}\n" for key, value in keys.items())
    (tmp_path / "own.toml").write_text(
        f'name = "own"\ndeadline = "20s"\nphotos = {{ size = "2KB", bank = 1 }}\n[stations]\nfile = "sites.csv"\n{table}'
        f'[arrivals]\nkind = "constant"\nover = "5s"\n{target}',
        "utf-8",
    )
    return load_scenario(str(tmp_path / "own.toml"))


def test_any_codes_make_a_plan_in_their_order_and_each_page_is_unique(tmp_path):
    plan = make_plan(scenario(tmp_path, groups='["zone", "district"]', forms='{ intake = 2, "consent form" = 1 }'))
    assert [one.code for one in plan.stations] == sorted(CODES)
    assert plan.slots == (("intake", 1), ("intake", 2), ("consent form", 1))
    assert len({page.sha256 for page in plan}) == plan.pages == len(CODES) * 3
    assert {len(make_tail(page.key)) for page in plan} == {TAIL_BYTES}


def test_groups_columns_and_the_smallest_group_are_the_lists(tmp_path):
    (first, *_) = [one for one in parse(LIST, groups=["zone", "district"]) if one.code == "CLINIC-017"]
    assert (first.groups, first.kelurahan, first.kelurahan_name) == (("Z0", "D0"), "D0", "D0")
    assert request_columns(first, {"CLINIC-017": {"password": "p"}}) == {
        "station.zone": "Z0", "station.district": "D0", "station.email": "u0@example.org", "account.password": "p",
    }  # fmt: skip


def test_a_kelurahan_of_a_region_stays_what_it_was():
    plan = make_plan(load_scenario("smoke", ["photos.size=2KB", "photos.bank=1"]))
    assert plan.stations[0].kelurahan == plan.stations[0].code[:10]
    assert request_columns(plan.stations[0], {}) == {}


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("code,at\nb,12.5\na,0\n", [0.0, 12.5]),
        ("code,at\nb,1m\na,500ms\n", [0.5, 60.0]),
        ("code,at\nb,2024-02-14T19:00:30\na,2024-02-14 19:00:00+00:00\n", [0.0, 30.0]),
    ],
)
def test_due_times_are_seconds_durations_or_dates(text, due):
    stations = parse(text, due="at")
    arrivals = ListedArrivals.model_validate({"kind": "listed", "start": "1s", "speed": 2.0})
    found = assign_due_times(arrivals, stations, np.random.default_rng(1), 1)
    assert found == pytest.approx([1 + one / 2 for one in due])


def test_listed_arrivals_need_a_column_of_due_times():
    arrivals = ListedArrivals.model_validate({"kind": "listed"})
    with pytest.raises(ConfigurationError, match=r"stations\.due"):
        assign_due_times(arrivals, parse(LIST), np.random.default_rng(1), 1)


@pytest.mark.parametrize(
    ("text", "keys", "why"),
    [
        ("id\nx\n", {}, 'line 1: there is no column "code"; there are id'),
        ("code\n", {}, "has no stations"),
        ("", {}, "there are none"),
        ("code\nx\nx\n", {}, 'line 3: duplicate code "x"'),
        (f"code\n{'x' * 65}\n", {}, "1 to 64 printable characters"),
        ("code\n x\n", {}, "without blanks at its ends"),
        ("code\na\x1b[2J\n", {}, "1 to 64 printable characters"),
        ("code\n..\n", {}, "1 to 64 printable characters"),
        ("code,a\nx\n", {}, "line 2: has 1 fields, the first line has 2"),
        ("code,a,a\nx,1,2\n", {}, 'duplicate column "a"'),
        ("code,{a}\nx,1\n", {}, "not a name of a column"),
        ("code,zone\nx,\n", {"groups": ["zone"]}, "line 2: zone is empty"),
        ("code,at\nx,soon\n", {"due": "at"}, 'at "soon" should be seconds, a duration'),
        ("code,at\nx,-1\n", {"due": "at"}, "a time from 0"),
        ("code,at\nx,nan\n", {"due": "at"}, "a time from 0"),
        ("code,password\nx,1\n", {}, "may have secrets"),
        ('code\n"x\n', {}, "not valid CSV|has no stations|printable"),
    ],
)
def test_a_wrong_list_is_refused_with_the_line(text, keys, why):
    with pytest.raises(ConfigurationError, match=why):
        parse(text, **keys)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"region": "jember"}, "file and region"),
        ({"groups": ["form"]}, "can't be a group"),
        ({"groups": ["code"]}, "can't be a group"),
        ({"groups": ["a", "a"]}, "can't be a group"),
        ({"file": None, "groups": ["a"]}, "groups names columns of file"),
        ({"forms": {"x": 0}}, "greater than or equal to 1"),
        ({"forms": ["mystery"]}, "write forms = { mystery = 2 }"),
        ({"forms": ["ppwp", "ppwp"]}, "twice"),
        ({"forms": [[]]}, r"\[\] is not the name of a form"),
        ({"forms": {}}, "at least 1"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_go_together_is_refused(keys, why):
    with pytest.raises(ValueError, match=why):
        options(**keys)


def test_forms_are_recorded_as_a_list_where_the_names_say_it_all():
    assert options(forms=["ppwp", "ec8a"]).model_dump(mode="json")["forms"] == ["ppwp", "ec8a"]
    assert options(forms={"ppwp": 3}).model_dump(mode="json")["forms"] == ["ppwp"]
    assert options(forms={"ppwp": 2}).model_dump(mode="json")["forms"] == {"ppwp": 2}


# --- accounts


def accounts_file(tmp_path, mode=0o600, text="code,password\na,geheim\n"):
    path = tmp_path / "accounts.csv"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


def test_accounts_are_read_only_from_a_file_that_nobody_else_can_read(tmp_path):
    path = accounts_file(tmp_path)
    assert load_accounts(options(accounts=str(path))) == {"a": {"password": "geheim"}}
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"mode 0640.*chmod 600"):
        load_accounts(options(accounts=str(path)))
    assert load_accounts(options()) == {}


@pytest.mark.parametrize("text", ["code,pin\nx,geheim\x07\n", "code,pin\nx,geheim\nx,geheim\n", "code,pin\ngeheim\n"])
def test_no_message_about_accounts_contains_a_secret(text):
    with pytest.raises(ConfigurationError, match="line") as caught:
        parse_accounts(text, "accounts.csv", "code")
    assert "geheim" not in str(caught.value)


TARGET = '[target]\npath = "/p/{station}/{page}"\nheaders = { X-Mail = "{station.email}", Authorization = "Basic {account.key}" }\n'


def test_placeholders_must_be_columns_of_the_files(tmp_path):
    accounts_file(tmp_path, text="code,key\n" + "".join(f"{code},k\n" for code in CODES))
    good = scenario(tmp_path, target=TARGET, accounts='"accounts.csv"')
    assert find_station_problems(good) == []
    accounts_file(tmp_path, text="code,token\nCLINIC-017,k\n")
    missing, unknown = find_station_problems(good)
    assert missing.startswith("stations.accounts has no account for 6 of 7 stations")
    assert "{account.key}; there are {station.zone}, {station.district}, {station.email}, {account.token}" in unknown


def test_a_region_has_no_columns_for_placeholders(tmp_path):
    (tmp_path / "own.toml").write_text(
        f'name = "own"\ndeadline = "9s"\n[arrivals]\nkind = "constant"\nover = "5s"\n{TARGET}'
    )
    (problem,) = find_station_problems(load_scenario(str(tmp_path / "own.toml")))
    assert problem == "target: {account.key} is a column of your own file, and stations has none"
