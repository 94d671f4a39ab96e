"""Moments in words. Clocks of machines, cameras and disks may say anything."""

from datetime import datetime


def shown_moment(seconds: float, pattern: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A moment in seconds since 1970, as local time; in seconds where the calendar ends."""
    try:
        return datetime.fromtimestamp(seconds).strftime(pattern)
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.0f} s after 1970"
