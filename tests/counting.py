"""A way to count tokens that needs no tables."""


def estimate(text: str) -> int:
    """Count without tables: never less than about three quarters of the true number."""
    return len(text.encode()) // 3 + 1
