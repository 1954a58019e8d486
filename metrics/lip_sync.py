"""Lip synchrony in the portrait world, where mouths are read exactly and their truth is known."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from data.portraits.analyser import mouth_opening
from metrics.base import Metric, Sample, Score
from metrics.voices import correlation, known_opening, unreadable

MOST = 5  # frames, the longest lag looked for


class _Read(Metric):
    """The trace of each is how far the mouth is open, frame by frame."""

    def compute(self, sample: Sample) -> Score:
        problem = unreadable(sample)
        if problem:
            return Score(None, reason=problem)
        if len(sample.frames) < 4 * MOST:
            return Score(None, reason=f"{4 * MOST} frames or more are needed")
        seen = mouth_opening(sample.frames)
        value, reason = self.judge(seen, sample)
        return Score(value, tuple(seen), reason)

    @abstractmethod
    def judge(self, seen: np.ndarray, sample: Sample) -> tuple[float | None, str]:
        """The figure of (N,) openings read, or None and why there is none."""


class LipSync(_Read):
    """Correlation of the mouth's opening, read from the frames, with the one that the sound drives.

    A mouth that never moves has 0.
    """

    recipe = "lip_sync@analyser"
    higher_is_better = True
    range = (-1.0, 1.0)
    margin = 0.02
    citation = "read by the portrait world's analyser, against the driving sound's loudness"

    def judge(self, seen: np.ndarray, sample: Sample) -> tuple[float | None, str]:
        wanted = known_opening(sample)
        if wanted.std() < 1e-6:
            return None, "the sound is silent throughout"
        return correlation(seen, wanted) or 0.0, ""


class LipLeak(_Read):
    """The same with the sound that the source speaks and the edit replaces: near 0 where the mouth
    follows the new sound alone, and the ground truth's for the source itself."""

    recipe = "lip_leak@analyser"
    higher_is_better = None
    range = (-1.0, 1.0)
    citation = "read by the portrait world's analyser, against the source's own loudness"

    def judge(self, seen: np.ndarray, sample: Sample) -> tuple[float | None, str]:
        own = getattr(sample.clip, "opening", None)
        if own is None or sample.edit is None or np.array_equal(own, sample.edit.opening):
            return None, "no other sound is replaced"
        return correlation(seen, own[: len(seen)]) or 0.0, ""


class LipLag(_Read):
    """Frames by which the mouth comes after the sound: where their correlation is largest."""

    recipe = "lip_lag@analyser"
    unit = "frames"
    higher_is_better = None
    range = (-float(MOST), float(MOST))
    citation = "the shift within five frames at which the correlation of lip_sync is largest"

    def judge(self, seen: np.ndarray, sample: Sample) -> tuple[float | None, str]:
        wanted = known_opening(sample)
        found = {lag: correlation(*_shifted(seen, wanted, lag)) for lag in range(-MOST, MOST + 1)}
        known = {lag: value for lag, value in found.items() if value is not None}
        if not known:
            return None, "the mouth or the sound never moves"
        return float(max(known, key=lambda lag: (known[lag], -abs(lag)))), ""


class LipError(_Read):
    """Mean absolute difference between the mouth's opening and the true one, 1 being wide open."""

    recipe = "lip_error@analyser"
    higher_is_better = False
    range = (0.0, 1.0)
    margin = 0.01
    citation = "read by the portrait world's analyser, against the driving sound's loudness"

    def judge(self, seen: np.ndarray, sample: Sample) -> tuple[float | None, str]:
        return float(np.abs(seen - known_opening(sample)).mean()), ""


def _shifted(seen: np.ndarray, wanted: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """What is left of both where the mouth comes ``lag`` frames after the sound."""
    n = len(seen)
    return seen[max(0, lag) : n + min(0, lag)], wanted[max(0, -lag) : n + min(0, -lag)]
