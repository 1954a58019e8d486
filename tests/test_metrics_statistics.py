"""Statistics agree with textbook formulas and with enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from metrics.statistics import (
    bootstrap_interval,
    clip_means,
    holm,
    paired_difference,
    sign_flip_p,
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_seeds_are_averaged_before_edits_and_edits_before_clips():
    values = [1.0, 3.0, 8.0, 5.0, np.nan]
    clips, edits = ["a", "a", "a", "b", "c"], ["x", "x", "y", "x", "x"]
    # a: edit x has the mean 2 over two seeds, edit y has 8; clip c has no value at all
    assert clip_means(values, clips, edits) == {"a": 5.0, "b": 5.0}


def test_an_interval_of_many_clips_is_near_the_t_interval():
    values = generator(1).normal(3, 2, 60)
    found = bootstrap_interval(values, generator())
    low, high = stats.t.interval(0.95, 59, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.08)
    assert (found.mean, found.n, found.method) == (pytest.approx(values.mean()), 60, "BCa")


@pytest.mark.parametrize(
    ("n", "method"), [(1, "none"), (4, "none"), (5, "percentile"), (9, "percentile"), (10, "BCa")]
)
def test_the_method_depends_on_the_number_of_clips(n, method):
    found = bootstrap_interval(generator(2).random(n), generator(), resamples=500)
    assert found.method == method
    assert (found.low is None) == (n < 5)


def test_the_percentile_interval_is_that_of_resampled_means():
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    found = bootstrap_interval(values, generator())
    everything = [np.mean(draw) for draw in itertools.product(values, repeat=5)]
    low, high = np.percentile(everything, [2.5, 97.5])
    wider = np.sqrt(5 / 4) * stats.t.ppf(0.975, 4) / stats.norm.ppf(0.975)
    mean = values.mean()
    assert (found.low, found.high) == pytest.approx(
        (mean + wider * (low - mean), mean + wider * (high - mean)), abs=0.55
    )


DRAWS = {
    "normal": (lambda rng, n: rng.normal(3, 2, n), 3.0),
    "uniform": (lambda rng, n: rng.random(n), 0.5),
    "skewed to the left": (lambda rng, n: rng.beta(5, 2, n), 5 / 7),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "name"),
    [(5, "normal"), (5, "uniform"), (10, "normal"), (10, "skewed to the left"), (20, "uniform")],
)
def test_an_interval_of_95_percent_covers_the_truth_95_percent_of_the_time(n, name):
    draw, truth = DRAWS[name]
    rng = generator(n)
    found = [bootstrap_interval(draw(rng, n), rng, resamples=300) for _ in range(1000)]
    covered = np.mean([interval.low <= truth <= interval.high for interval in found])
    assert 0.93 <= covered <= 0.97  # its own standard error is 0.007


@pytest.mark.parametrize("other", [2.0, np.nextafter(2.0, 3.0)])
def test_equal_values_have_a_point_for_an_interval(other: float):
    """Up to rounding: ratios of a thing to itself differ in the last bit."""
    found = bootstrap_interval([2.0] * 11 + [other], generator())
    assert found.method == "constant" and found.low == found.high == pytest.approx(2.0)


def test_the_order_of_clips_leaves_the_mean_and_a_seed_fixes_the_interval():
    values = generator(3).random(14)
    assert bootstrap_interval(values[::-1], generator()).mean == pytest.approx(values.mean())
    assert bootstrap_interval(values, generator()) == bootstrap_interval(values, generator())


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_no_interval_of_nothing_or_of_what_is_not_finite(values):
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_interval(values, generator())


@pytest.mark.parametrize("seed", range(3))
def test_the_sign_flip_test_counts_all_flips(seed):
    gaps = generator(seed).normal(0.6, 1, 8)
    flips = np.array(list(itertools.product([-1, 1], repeat=8)))
    means = np.abs((flips * gaps).mean(axis=1))
    expected = (means >= abs(gaps.mean()) - 1e-12).mean()
    assert sign_flip_p(gaps, generator()) == pytest.approx(expected)


def test_many_clips_are_tested_by_draws_near_the_t_test():
    gaps = generator(5).normal(0.3, 1, 40)
    assert sign_flip_p(gaps, generator()) == pytest.approx(
        stats.ttest_1samp(gaps, 0).pvalue, abs=0.02
    )


def test_pairs_are_compared_on_the_clips_both_have():
    system = {"a": 3.0, "b": 5.0, "c": 4.0, "only here": 99.0}
    baseline = {"a": 1.0, "b": 5.0, "c": 5.0, "only there": -99.0}
    found = paired_difference(system, baseline, generator())
    assert found.difference.mean == pytest.approx(1 / 3)
    assert found.difference.n == 3
    assert found.win_rate == pytest.approx(0.5)
    assert found.effect == pytest.approx((1 / 3) / np.std([2, 0, -1], ddof=1))


def test_a_single_shared_clip_has_no_test_and_none_is_an_error():
    found = paired_difference({"a": 2.0}, {"a": 1.0}, generator())
    assert (found.p, found.effect, found.win_rate) == (None, None, 1.0)
    with pytest.raises(ValueError, match="share no clip"):
        paired_difference({"a": 2.0}, {"b": 1.0}, generator())


def test_holm_on_the_textbook_example():
    # Holm 1979 by hand: sorted .005 .01 .03 .04 times 4 3 2 1, made monotone
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]).shape == (0,)


def test_holm_rejects_what_the_step_down_procedure_rejects():
    p = generator(6).random(30) ** 4
    rejected, ordered = set(), np.argsort(p)
    for rank, index in enumerate(ordered):
        if p[index] > 0.05 / (len(p) - rank):
            break
        rejected.add(int(index))
    assert set(np.flatnonzero(holm(p) <= 0.05)) == rejected
