"""From rows of one dataset to estimates; the statistics themselves are in metrics/statistics.py."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from metrics.statistics import (
    LEAST_FOR_INTERVAL,
    bootstrap_interval,
    clip_means,
    effect_size,
    sign_flip_p,
    win_rate,
)
from reports.results import REQUEST

MIN_CLIPS = LEAST_FOR_INTERVAL


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` clips; ``low`` and ``high`` are None where no interval is given."""

    mean: float
    low: float | None
    high: float | None
    n: int
    points: tuple[float, ...]  # one value per clip


@dataclass(frozen=True)
class Test:
    """One row held against another on the requests that both have."""

    p: float  # two-sided sign-flip test over clips; 1 where nothing can be said
    effect: float | None  # mean over standard deviation of the clips' differences
    wins: float  # share of clips on which the row's value is greater, ties counting half
    n: int  # clips


def by_clip(lines: pd.DataFrame, column: str) -> tuple[float, ...]:
    """A column averaged over seeds, then over edits: one value per clip, clips sorted."""
    return tuple(clip_means(lines[column], lines["clip"], lines["edit"]).values())


@lru_cache(maxsize=4096)
def _of(values: tuple[float, ...]) -> Estimate:
    if not np.isfinite(values).all():  # a perfect PSNR: a mean, but no interval
        return Estimate(float(np.mean(values)), None, None, len(values), values)
    # Equal generators: every row of a table is resampled by the same draws of clips.
    found = bootstrap_interval(values, np.random.default_rng(0))
    return Estimate(found.mean, found.low, found.high, found.n, values)


def estimate(
    lines: pd.DataFrame, column: str, limits: tuple[float, float] | None = None
) -> Estimate | None:
    """Mean over clips with its 95 % interval, or None where no value is known.

    An interval does not leave the ``limits`` of what it is about: few clips are resampled with a
    stretch that knows no ends, and a part cut off beyond them covers nothing.
    """
    values = by_clip(lines, column)
    found = _of(values) if values else None
    if found is None or found.low is None or limits is None:
        return found
    return replace(found, low=max(found.low, limits[0]), high=min(found.high, limits[1]))


def difference(a: pd.DataFrame, b: pd.DataFrame, column: str) -> Estimate | None:
    """Mean over clips of ``a`` minus ``b`` on the requests both have; None where there are none."""
    values = _differences(a, b, column)
    return _of(values) if values else None


def paired_test(a: pd.DataFrame, b: pd.DataFrame, column: str) -> Test | None:
    """``a`` held against ``b`` on shared requests, averaged by clip; None where they share none.

    p is 1 where fewer than two clips are shared or all differences are 0.
    """
    values = _differences(a, b, column)
    if not values:
        return None
    if len(values) < 2 or not any(values) or not np.isfinite(values).all():
        return Test(1.0, None, win_rate(values), len(values))
    p = sign_flip_p(values, np.random.default_rng(0))
    return Test(p, effect_size(values), win_rate(values), len(values))


def _differences(a: pd.DataFrame, b: pd.DataFrame, column: str) -> tuple[float, ...]:
    left, right = _by_request(a, column), _by_request(b, column)
    shared = [request for request in left if request in right]
    gaps = [left[request] - right[request] for request in shared]
    names = [[request[at] for request in shared] for at in (1, 2)]  # clip, edit
    return tuple(clip_means(gaps, *names).values())


def _by_request(lines: pd.DataFrame, column: str) -> dict[tuple, float]:
    """Request: its value, where it has one."""
    requests = zip(*(lines[name] for name in REQUEST), strict=True)
    return {
        request: value
        for request, value in zip(requests, lines[column], strict=True)
        if value == value
    }


def quartiles(values: pd.Series) -> Estimate | None:
    """Median (as ``mean``) with the quartiles as its interval; ``n`` counts cells."""
    known = values.dropna().to_numpy(float)
    if not len(known):
        return None
    low, middle, high = np.percentile(known, [25, 50, 75])
    return Estimate(float(middle), float(low), float(high), len(known), tuple(known))
