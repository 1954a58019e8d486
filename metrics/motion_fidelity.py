"""Whether the edited video moves as the source does: their optical flows, compared."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from metrics.base import Sample, Score
from metrics.flow_metric import FlowMetric, motion_edited
from metrics.pixels import same_shape

_STILL = 0.05  # pixels per frame: mean speed of both together below which nothing moves


def endpoint_errors(flow: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(M,) mean distances, in pixels, between the ends of two (M, H, W, 2) flows."""
    return np.linalg.norm(flow - reference, axis=-1).mean(axis=(1, 2)).astype(np.float64)


def agreement(flow: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(M,) likeness in [0, 1] of two (M, H, W, 2) flows: 1 for equal flows, 0 where one stands
    still or runs the other way; NaN for a pair of frames in which neither moves.

    One minus the distance of the ends over the length of both flows (Bray and Curtis 1957).
    """
    lengths = sum(np.linalg.norm(f, axis=-1).mean(axis=(1, 2)) for f in (flow, reference))
    likeness = 1 - endpoint_errors(flow, reference) / np.maximum(lengths, _STILL)
    return np.where(lengths < _STILL, np.nan, likeness)


class _Motion(FlowMetric):
    @abstractmethod
    def _of_flows(self, flow: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """The figure of every pair of frames, NaN where it is undefined."""

    def compute(self, sample: Sample) -> Score:
        if len(sample.frames) < 2:
            return Score(None, reason="a single frame does not move")
        problem = motion_edited(sample) or same_shape(sample) or self.too_small(sample.frames)
        if problem:
            return Score(None, reason=problem)
        values = self._of_flows(self.flow(sample.frames)[0], self.flow(sample.clip.frames)[0])
        if np.isnan(values).all():
            return Score(None, reason="nothing moves, neither in the frames nor in the source")
        return Score(float(np.nanmean(values)), tuple(values))


class MotionError(_Motion):
    """Mean endpoint distance between the flows of frames and source; 0 for the identity."""

    name = "motion_error"
    unit = "px"
    higher_is_better = False
    range = (0.0, float("inf"))
    citation = "motion alignment of V2VBench (Sun et al. 2024) with the sign turned, by this flow"

    def _of_flows(self, flow: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return endpoint_errors(flow, reference)


class MotionFidelity(_Motion):
    """Likeness of the flows of frames and source: 1 for the same motion, 0 for none or its
    opposite. Comparable between slow clips and fast ones."""

    name = "motion_fidelity"
    higher_is_better = True
    range = (0.0, 1.0)
    margin = 0.02
    citation = "1 - endpoint error (Baker et al. 2011) over the length of both flows"

    def _of_flows(self, flow: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return agreement(flow, reference)
