"""Progress appears often enough to follow, and never more often than that."""

import pytest

from clipsearch.cli.progress import EventLines, PlainLines, describe, duration, size


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_come_every_few_seconds_with_the_rate_of_this_run() -> None:
    clock, lines = Clock(), list[str]()
    progress = PlainLines(lines.append, clock)
    # 400 photos were unchanged: they must not count as the rate of encoding.
    progress("encode", 400, 1000)
    for step in range(1, 61):
        clock.now = 100 + step / 10
        progress("encode", 400 + 2 * step, 1000)
    assert lines == ["indexing: 500 of 1,000, 20/s, 25 s left"]


def test_plain_lines_start_anew_with_each_stage() -> None:
    clock, lines = Clock(), list[str]()
    progress = PlainLines(lines.append, clock)
    progress("scan", 1, None)
    clock.now += 5
    progress("scan", 26, None)
    progress("model", 0, None)
    clock.now += 6
    progress("model", 0, None)
    assert lines == ["looking for photos: 26, 5.0/s", "loading the model ..."]


def test_events_are_limited_but_changes_of_stage_and_ends_are_always_told() -> None:
    clock, events = Clock(), list[dict[str, object]]()
    progress = EventLines(events.append, clock)
    for done in range(11):
        progress("encode", done, 10)
        clock.now += 0.2
    progress("snapshot", 0, None)
    assert [(e["stage"], e["done"], e["total"]) for e in events] == [
        ("encode", 0, 10),
        ("encode", 3, 10),
        ("encode", 6, 10),
        ("encode", 9, 10),
        ("encode", 10, 10),
        ("snapshot", 0, None),
    ]
    assert all(event["event"] == "progress" for event in events)


def test_downloads_are_told_in_bytes() -> None:
    shown = describe("fetching", 20_000_000, 605_000_000, 5_000_000)
    assert shown == "fetching the model: 20 MB of 605 MB, 5.0 MB/s, 1 min 57 s left"


def test_an_unknown_stage_is_shown_by_its_name_and_safely() -> None:
    assert describe("pack\x1bing", 1, 2, 0) == "pack\\x1bing: 1 of 2"


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (151_277_312, "151 MB"),
     (999_600_000, "1.0 GB"), (5_600_000_000, "5.6 GB"), (2_000_000_000_000, "2.0 TB")],
)  # fmt: skip
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"),
     (3599.6, "1 h 00 min"), (7500, "2 h 05 min")],
)  # fmt: skip
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
