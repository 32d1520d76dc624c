"""How many rows a product has for each row to add up in the same order (decision 0007)."""

ROWS_TOGETHER = 4
"""Products of a multiple of 4 rows add up each row in the same order, however many there are."""


def rounded_up(count: int, together: int) -> int:
    """Return the least multiple of `together` that is not below the count."""
    return -(-count // together) * together
