"""How often one may ring: a bucket for each, which fills up again steadily."""

from __future__ import annotations

from airflow_provider_seeany.web.callback.rate_limit import RateLimit


class Clock:
    """Seconds that go on when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def allowed(rate: RateLimit, key: str, *, tries: int) -> int:
    """Return how many of so many tries at once are allowed."""
    return sum(rate.wait(key) == 0 for _ in range(tries))


def test_a_long_silence_saves_up_no_more_than_a_burst() -> None:
    clock = Clock()
    rate = RateLimit(per_second=2, burst=5, clock=clock)
    assert allowed(rate, "a", tries=10) == 5

    clock.now += 3600

    assert allowed(rate, "a", tries=10) == 5


def test_who_keeps_trying_in_vain_is_not_shut_out_longer() -> None:
    clock = Clock()
    rate = RateLimit(per_second=2, burst=1, clock=clock)
    allowed(rate, "a", tries=100)

    clock.now += 0.5

    assert rate.wait("a") == 0


def test_what_is_told_to_wait_for_is_enough_and_no_more_than_that() -> None:
    clock = Clock()
    rate = RateLimit(per_second=2, burst=1, clock=clock)
    rate.wait("a")
    clock.now += 0.2
    seconds = rate.wait("a")

    clock.now += seconds - 0.01
    assert rate.wait("a") > 0
    clock.now += 0.011
    assert rate.wait("a") == 0


def test_over_time_no_more_are_allowed_than_the_rate_says() -> None:
    clock = Clock()
    rate = RateLimit(per_second=2, burst=5, clock=clock)
    count = 0
    for _ in range(1000):
        clock.now += 0.1
        count += allowed(rate, "a", tries=3)

    assert count <= 5 + 2 * 100


def test_who_goes_on_ringing_does_not_get_a_new_bucket_by_being_forgotten() -> None:
    rate = RateLimit(per_second=2, burst=1, clock=Clock())
    rate.wait("a")
    for number in range(rate.MAX_KEYS - 1):
        rate.wait(str(number))
    rate.wait("a")

    # All buckets are taken: that of who has been silent for longest goes.
    rate.wait("one more")

    assert rate.wait("a") > 0
    assert rate.wait("0") == 0
