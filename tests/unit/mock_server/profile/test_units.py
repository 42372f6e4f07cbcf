import pytest

from mock_server.profile import units
from mock_server.profile.units import DurationDistribution, FrozenModel, SizeDistribution


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250us", 0.00025), ("150ms", 0.15), ("1.5s", 1.5), ("2m", 120.0), ("1h", 3600.0), ("3d", 259_200.0)],
)
def test_durations_are_seconds(text, seconds):
    assert units.duration_s(text) == pytest.approx(seconds)


def test_a_unit_is_applied_in_decimal_so_that_a_duration_is_written_back_as_it_was_read():
    assert units.duration_s("144ms") == 0.144  # 144 * 0.001 is 0.14400000000000002


@pytest.mark.parametrize("wrong", ["5", 5, "5 parsecs", "", "s", None, "-1s", "nan s"])
def test_a_duration_needs_a_number_and_a_unit(wrong):
    with pytest.raises(ValueError, match="is not a duration"):
        units.duration_s(wrong)


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (units.duration_s, "duration"),
        (units.size_bytes, "size"),
        (units.rate_bytes_per_s, "rate"),
        (units.ratio, "ratio"),
    ],
)
def test_a_quantity_without_bounds_is_refused(read, what):
    unit = {"duration": "s", "size": "B", "rate": "B/s", "ratio": "%"}[what]
    with pytest.raises(ValueError, match=f"too large for a {what}"):
        read(f"1e400{unit}")


def test_sizes_and_rates_are_bytes():
    assert units.size_bytes("1.6MB") == 1_600_000
    assert units.size_bytes("64KiB") == 65_536
    assert units.rate_bytes_per_s("8Mbit/s") == 1_000_000


@pytest.mark.parametrize(("value", "share"), [("95%", 0.95), ("7%", 0.07), ("0.2", 0.2), (0.2, 0.2), (1, 1.0)])
def test_ratios_are_exact(value, share):
    assert units.ratio(value) == share


@pytest.mark.parametrize("wrong", [True, "95 percent", float("nan"), None])
def test_a_ratio_is_a_percentage_or_a_number(wrong):
    with pytest.raises(ValueError, match="is not a ratio"):
        units.ratio(wrong)


class _Holder(FrozenModel):
    wait: DurationDistribution
    size: SizeDistribution = None


def test_a_plain_quantity_is_a_fixed_distribution():
    assert _Holder.model_validate({"wait": "20ms"}).wait.quantile(0.99) == 0.02


@pytest.mark.parametrize(
    ("table", "median"),
    [
        ({"distribution": "uniform", "low": "1s", "high": "3s"}, 2.0),
        ({"distribution": "exponential", "mean": "1s"}, 0.693),
        ({"distribution": "lognormal", "median": "150ms", "sigma": 0.5}, 0.15),
        ({"distribution": "lognormal", "median": "150ms", "sigma": 0.5, "max": "100ms"}, 0.1),
    ],
)
def test_the_middle_quantile_is_the_median(table, median):
    assert _Holder.model_validate({"wait": table}).wait.quantile(0.5) == pytest.approx(median, abs=0.001)


@pytest.mark.parametrize(
    "table",
    [
        "150ms",
        {"distribution": "fixed", "value": "2s", "max": "1s"},
        {"distribution": "uniform", "low": "1s", "high": "3s"},
        {"distribution": "uniform", "low": "1s", "high": "3s", "max": "1500ms"},
        {"distribution": "uniform", "low": "1s", "high": "3s", "max": "500ms"},
        {"distribution": "exponential", "mean": "2s"},
        {"distribution": "exponential", "mean": "2s", "max": "3s"},
        {"distribution": "exponential", "mean": "0s"},
        {"distribution": "lognormal", "median": "120ms", "sigma": 0.5},
        {"distribution": "lognormal", "median": "120ms", "sigma": 0.5, "max": "150ms"},
        {"distribution": "lognormal", "median": "120ms", "sigma": 0, "max": "100ms"},
        {"distribution": "lognormal", "median": "0s", "sigma": 1},
        {"distribution": "lognormal", "median": "1s", "sigma": 1, "max": "0s"},
    ],
)
def test_the_expected_value_is_the_mean_of_all_quantiles(table):
    class Reader(FrozenModel):
        service: DurationDistribution

    found = Reader.model_validate({"service": table}).service
    mean = sum(found.quantile((number + 0.5) / 20_000) for number in range(20_000)) / 20_000
    assert found.expected_value() == pytest.approx(mean, rel=2e-3, abs=1e-12)


@pytest.mark.parametrize(
    "table",
    [
        "20ms",
        {"distribution": "uniform", "low": "10ms", "high": "30ms"},
        {"distribution": "exponential", "mean": "20ms", "max": "30ms"},
        {"distribution": "lognormal", "median": "20ms", "sigma": 0.7},
        {"distribution": "lognormal", "median": "20ms", "sigma": 0.7, "max": "25ms"},
    ],
)
def test_a_sampler_draws_what_quantile_does_to_the_last_bit(table):
    found = _Holder.model_validate({"wait": table}).wait
    draw = found.sampler()
    chances = [(number + 0.5) / 500 for number in range(500)]
    assert [draw(p) for p in chances] == [found.quantile(p) for p in chances]
