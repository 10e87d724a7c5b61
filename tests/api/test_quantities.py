"""Numbers, times and money in a field: parsed if they have one meaning only."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_seeany.api import quantities

NUMBERS: list[tuple[object, float | None]] = [
    (65, 65),
    (0.7, 0.7),
    (-1, -1),
    ("65", 65),
    ("0.70", 0.7),
    (".5", 0.5),
    (" 65\n", 65),
    ("６５", 65),
    ("-0.5", -0.5),
    ("+7", 7),
    ("7e-1", 0.7),
    ("1,234", 1234),
    ("1,234.50", 1234.5),
    ("1.234,50", 1234.5),
    ("1 234,5", 1234.5),
    ("1\u00a0234", 1234),
    ("1'234'567", 1234567),
    ("1_000", 1000),
    ("1.234.567", 1234567),
    ("0,7", 0.7),
    ("1.234", 1.234),
    ([65], 65),
    (["none", "65"], 65),
    ({"value": "65"}, 65),
    ("1,2,3", None),
    ("1 2", None),
    ("1.2.3", None),
    ("1-2", None),
    ("0x1F", None),
    ("most", None),
    ("65 of 100", None),
    ("", None),
    ("nan", None),
    ("inf", None),
    ("1e999", None),
    ("9" * 400, None),
    (float("nan"), None),
    (float("inf"), None),
    (True, None),
    (None, None),
    ([], None),
    ({}, None),
    ([[[[[[65]]]]]], None),
]


@pytest.mark.parametrize(("value", "read"), NUMBERS, ids=lambda value: repr(value)[:30])
def test_a_number_is_read_where_it_means_one_thing_only(value: object, read: float | None) -> None:
    assert quantities.number(value) == read


@pytest.mark.parametrize(
    ("value", "read"), [("65%", 65), ("65 ％", 65), ("65/100", 65), ("65 percent", 65), ("65s", None), ("¥65", None)]
)
def test_a_percentage_may_have_its_sign(value: object, read: float | None) -> None:
    assert quantities.percentage(value) == read


SECONDS: list[tuple[object, float | None]] = [
    (42, 42),
    ("42", 42),
    ("42s", 42),
    ("5 s", 5),
    ("5.5 sec", 5.5),
    ("5 seconds", 5),
    ("5秒", 5),
    ("500 ms", 0.5),
    ("2 min", 120),
    ("2分钟", 120),
    ("1h", 3600),
    ("1m30s", 90),
    ("1 min 30 s", 90),
    ("00:05", 5),
    ("1:02:03", 3723),
    ("PT1M30S", 90),
    ({"value": 2, "unit": "min"}, 120),
    ([5], 5),
    ("5 frames", None),
    ("about 5 s", None),
    ("5%", None),
    ("1:75", None),
    ("5 s left", None),
    (True, None),
]


@pytest.mark.parametrize(("value", "read"), SECONDS, ids=repr)
def test_seconds_may_have_their_unit(value: object, read: float | None) -> None:
    assert quantities.seconds(value) == read


COSTS: list[tuple[object, tuple[float | None, str | None]]] = [
    ({"cost": 0.7, "cost_unit": "CNY"}, (0.7, "CNY")),
    ({"cost": "0.70", "cost_unit": "CNY"}, (0.7, "CNY")),
    ({"cost": "¥0.70"}, (0.7, "CNY")),
    ({"cost": "￥0.70", "cost_unit": "CNY"}, (0.7, "CNY")),
    ({"cost": "0.70元", "cost_unit": "RMB"}, (0.7, "RMB")),
    ({"cost": "0.70 CNY"}, (0.7, "CNY")),
    ({"cost": "CNY 1,234.50"}, (1234.5, "CNY")),
    ({"cost": "$0.70"}, (0.7, "USD")),
    ({"cost": "-¥0.70"}, (None, None)),
    ({"cost": "7 credits", "cost_unit": "credits"}, (7, "credits")),
    ({"cost": {"amount": "0.70", "currency": "CNY"}}, (0.7, "CNY")),
    ({"cost": ["0.70"], "cost_unit": ["CNY"]}, (0.7, "CNY")),
    ({"amount": 0.7, "currency": "CNY"}, (0.7, "CNY")),
    ({"cost": 0, "cost_unit": "CNY"}, (0, "CNY")),
    ([{"cost": 0.7, "cost_unit": "CNY"}], (0.7, "CNY")),
    (["0.70 CNY"], (0.7, "CNY")),
    (0.7, (0.7, None)),
    ("0.70", (0.7, None)),
    ("€0.70", (0.7, "EUR")),
    # Not a wrong sum for anything in the world.
    ({"cost": "70 cents", "cost_unit": "CNY"}, (None, "CNY")),
    ({"cost": "$0.70", "cost_unit": "CNY"}, (None, "CNY")),
    ({"cost": "70分", "cost_unit": "CNY"}, (None, "CNY")),
    ([{"cost": 0.7}, {"cost": 0.3}], (None, None)),
    ({"cost": True}, (None, None)),
    ({"cost": float("nan")}, (None, None)),
    ("free", (None, None)),
    ("v2", (None, None)),
    ([], (None, None)),
    (False, (None, None)),
    ({"tokens": 7}, (None, None)),
]


@pytest.mark.parametrize(("usage", "read"), COSTS, ids=repr)
def test_a_cost_is_read_with_its_currency_or_not_at_all(usage: object, read: tuple[float | None, str | None]) -> None:
    assert quantities.cost(usage) == read


NOON = datetime(2025, 6, 3, 0, 2, tzinfo=UTC)


MOMENTS: list[tuple[object, datetime | None]] = [
    (1748908920, NOON),
    (1748908920000, NOON),
    (1748908920000000, NOON),
    (1748908920000000000, NOON),
    (1748908920.5, NOON.replace(microsecond=500_000)),
    ("1748908920", NOON),
    ("1748908920000", NOON),
    ("1748908920.0", NOON),
    (" 1748908920 ", NOON),
    (0, None),
    (-1, None),
    ("2025-06-03T00:02:00Z", NOON),
    ("2025-06-03T00:02:00z", NOON),
    ("2025-06-03T08:02:00+08:00", NOON),
    ("2025-06-03T08:02:00+0800", NOON),
    ("2025-06-03T08:02:00 +08:00", NOON),
    ("2025-06-03 00:02:00", NOON),
    ("2025-06-03T00:02:00", NOON),
    ("2025-06-03T00:02:00.000Z", NOON),
    ("2025-06-03 00:02:00 UTC", NOON),
    ("2025/06/03 00:02:00", NOON),
    ("20250603T000200Z", NOON),
    ("20250603000200", NOON),
    ("2025-06-03", NOON.replace(minute=0)),
    ("20250603", NOON.replace(minute=0)),
    ("Tue, 03 Jun 2025 00:02:00 GMT", NOON),
    ([1748908920], NOON),
    ([2025, 6, 3, 0, 2], NOON),
    ({"seconds": 1748908920, "nanos": 0}, NOON),
    ({"$date": {"$numberLong": "1748908920000"}}, NOON),
    (10**30, None),
    (-(10**30), None),
    (True, None),
    ("soon", None),
    ("", None),
    ("2025-13-03", None),
    ("0001-01-01T00:00:00+14:00", None),
    ("0001-01-01T00:00:00Z", None),
    ([2026, 99999999999, 1], None),
    ([99999999999, 99999999999, 99999999999], None),
    ([10**30, 1, 1], None),
    (20260603100000, datetime(2026, 6, 3, 10, tzinfo=UTC)),
    ("20260603100000", datetime(2026, 6, 3, 10, tzinfo=UTC)),
    (20260603, datetime(2026, 6, 3, tzinfo=UTC)),
    ("20260603", datetime(2026, 6, 3, tzinfo=UTC)),
    ("2026", None),
    ("Wed Jun 03 10:00:00 CST 2026", None),
    ("Wed, 03 Jun 2026 10:00:00 EST", None),
    ("Wed, 03 Jun 2026 10:00:00 GMT", datetime(2026, 6, 3, 10, tzinfo=UTC)),
    ("Wed Jun 03 10:00:00 UTC 2026", datetime(2026, 6, 3, 10, tzinfo=UTC)),
    ("9999-12-31T23:59:59-14:00", None),
    ([], None),
    ([2025, 13, 3], None),
    ({}, None),
    (float("nan"), None),
    (float("inf"), None),
]


@pytest.mark.parametrize(("value", "read"), MOMENTS, ids=repr)
def test_a_moment_is_read_in_utc_whatever_its_unit(value: object, read: datetime | None) -> None:
    assert quantities.timestamp(value) == read
