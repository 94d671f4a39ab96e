"""Shares as people read them, the same everywhere."""


def percent(share: float, decimals: int = 1) -> str:
    """0.131 as "13.1 %"."""
    return f"{100 * share:.{decimals}f} %"
