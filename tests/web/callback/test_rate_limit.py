"""Rate limits: token buckets by key."""

from __future__ import annotations

from airflow_provider_seeany.web.callback.rate_limit import RateLimit


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def allowed(rate: RateLimit, key: str, *, tries: int) -> int:
    """Return how many of so many tries at once are allowed."""
    return sum(rate.acquire(key) == 0 for _ in range(tries))


def test_a_bucket_never_holds_more_than_a_burst() -> None:
    clock = Clock()
    rate = RateLimit(per_second=2, burst=5, clock=clock)
    assert allowed(rate, "a", tries=10) == 5

    clock.now += 3600

    assert allowed(rate, "a", tries=10) == 5


def test_attempts_that_are_not_allowed_take_no_token() -> None:
    clock = Clock()
    rate = RateLimit(per_second=2, burst=1, clock=clock)
    allowed(rate, "a", tries=100)

    clock.now += 0.5

    assert rate.acquire("a") == 0


def test_the_returned_seconds_are_enough_and_not_too_many() -> None:
    clock = Clock()
    rate = RateLimit(per_second=2, burst=1, clock=clock)
    rate.acquire("a")
    clock.now += 0.2
    seconds = rate.acquire("a")

    clock.now += seconds - 0.01
    assert rate.acquire("a") > 0
    clock.now += 0.011
    assert rate.acquire("a") == 0


def test_over_time_no_more_are_allowed_than_the_rate() -> None:
    clock = Clock()
    rate = RateLimit(per_second=2, burst=5, clock=clock)
    count = 0
    for _ in range(1000):
        clock.now += 0.1
        count += allowed(rate, "a", tries=3)

    assert count <= 5 + 2 * 100


def test_a_key_in_use_keeps_its_bucket_when_there_are_too_many() -> None:
    rate = RateLimit(per_second=2, burst=1, clock=Clock())
    rate.acquire("a")
    for number in range(rate.MAX_KEYS - 1):
        rate.acquire(str(number))
    rate.acquire("a")

    # All buckets are taken: the least recently used one is dropped.
    rate.acquire("one more")

    assert rate.acquire("a") > 0
    assert rate.acquire("0") == 0


def test_a_bucket_gains_tokens_and_the_number_of_buckets_is_limited() -> None:
    now = [0.0]
    rate = RateLimit(per_second=2, burst=1, clock=lambda: now[0])

    assert rate.acquire("a") == 0
    assert rate.acquire("a") == 0.5
    now[0] = 0.5
    assert rate.acquire("a") == 0
    for number in range(rate.MAX_KEYS + 5):
        rate.acquire(str(number))
    assert len(rate._buckets) == rate.MAX_KEYS
