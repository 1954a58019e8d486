"""Distance between two sets of pictures or videos by their features (Heusel et al. 2017).

FID with Inception's features, FVD with a video network's, and the same with a CLIP's. It belongs to
a set and not to a cell, so it is no recipe. Below ``LEAST`` samples, or with fewer samples than
features, its bias is larger than the differences between methods, and it is not given.
"""

from __future__ import annotations

import numpy as np

from metrics.base import Score

LEAST = 256  # samples on either side


def frechet_distance(features: np.ndarray, reference: np.ndarray) -> float:
    """Squared Frechet distance of the Gaussians fitted to (N, D) and (M, D) features."""
    means = features.mean(axis=0) - reference.mean(axis=0)
    ours, theirs = (np.cov(f, rowvar=False, dtype=np.float64) for f in (features, reference))
    # The trace of the square root of a product is the sum of its eigenvalues' roots.
    roots = np.sqrt(np.linalg.eigvals(ours @ theirs).astype(complex)).real.sum()
    return float(means @ means + np.trace(ours) + np.trace(theirs) - 2 * roots)


def set_distance(features: np.ndarray, reference: np.ndarray) -> Score:
    """The Frechet distance of (N, D) and (M, D) features; undefined for too few samples."""
    fewest = min(len(features), len(reference))
    needed = max(LEAST, features.shape[1] + 1)
    if fewest < needed:
        return Score(None, reason=f"{fewest} samples; at least {needed} are needed")
    return Score(frechet_distance(features, reference))
