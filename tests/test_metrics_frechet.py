"""The Frechet distance is that of torchmetrics, and is kept from sets too small for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import _compute_fid

from metrics.frechet import LEAST, frechet_distance, set_distance


def draw(seed: int, n: int = 300, d: int = 12, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (n, d)) @ rng.normal(0, 1, (d, d))


def test_it_is_that_of_torchmetrics():
    a, b = draw(0), draw(1, n=400, shift=0.5)
    given = [t for f in (a, b) for t in (torch.tensor(f.mean(axis=0)), torch.tensor(np.cov(f.T)))]
    assert frechet_distance(a, b) == pytest.approx(float(_compute_fid(*given)), rel=1e-6)


def test_equal_sets_are_no_distance_apart_in_any_order_and_a_shift_is_its_square():
    a = draw(2)
    assert frechet_distance(a, a[::-1]) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + 3.0) == pytest.approx(9 * a.shape[1], rel=1e-6)


def test_of_too_few_samples_there_is_none():
    assert "255 samples; at least 256" in set_distance(draw(3, LEAST - 1), draw(4)).reason
    wide = np.random.default_rng(0).normal(size=(300, 512))
    assert "at least 513" in set_distance(wide, wide).reason
    assert set_distance(draw(5), draw(6)).value > 0
