"""Which picture meets which condition's tokens in the reference pass; no torch."""

from __future__ import annotations

from collections.abc import Sequence

Row = tuple[int, int]  # picture, condition


def dealt_rows(order: Sequence[int], conditions: int) -> list[Row]:
    """The rows of a reference pass over R conditions, each of all pictures in ``order``.

    As released, the conditions' tokens are dealt out alternately over all rows, so that a picture
    does not meet the tokens of its own condition only.
    """
    stack = len(order)
    return [(order[i % stack], i % conditions) for i in range(conditions * stack)]


def distinct_rows(order: Sequence[int], conditions: int) -> list[Row]:
    """Those that differ, in order of first appearance: what is computed."""
    return list(dict.fromkeys(dealt_rows(order, conditions)))
