"""Every check of `harness doctor` is documented with its limits, and no other."""

import re

from harness.doctor import cpu, resources
from harness.doctor.examine import evaluate_machine
from reports.number_format import format_count, format_ratio
from tests.support.documents import ROOT
from tests.unit.doctor.test_checks import SEEN, nothing

ROW = re.compile(r"^\| `([^`]+)` \| .* \| (.*) \| (.*) \|$", re.MULTILINE)
TABLE = {
    name: (enough, unfit)
    for name, enough, unfit in ROW.findall((ROOT / "docs" / "reference" / "doctor.md").read_text("utf-8"))
}


def test_every_check_is_documented_in_the_order_of_the_table_and_no_other():
    assert list(TABLE) == [finding.name for finding in evaluate_machine(SEEN, nothing).findings]


def test_the_documented_limits_are_those_of_the_checks():
    assert TABLE["descriptors"] == (
        format_count(resources.ENOUGH_DESCRIPTORS),
        f"below {format_count(resources.TOO_FEW_DESCRIPTORS)}",
    )
    assert TABLE["ports"] == (format_count(resources.ENOUGH_PORTS), f"below {format_count(resources.TOO_FEW_PORTS)}")
    assert TABLE["load now"] == (format_ratio(cpu.BUSY_RATIO), f"above {format_ratio(cpu.TOO_BUSY_RATIO)}")
    needed = {finding.name: finding.needed for finding in evaluate_machine(SEEN, nothing).findings}
    for name in ("cores", "ports", "disk, free", "loopback", "small attempts", "photos", "lateness", "timers"):
        assert TABLE[name][0] in needed[name].replace(" per core", ""), name
