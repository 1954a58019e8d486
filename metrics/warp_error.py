"""Warp error: how far frames are from following the source's optical flow (Lai et al. 2018).

Three figures for each source of flow: the error, its floor (the source's own error, from sampling
and shading alone) and their ratio, which is comparable between clips.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from data.clip import Clip, Edit
from metrics.base import Sample, Score
from metrics.flow_metric import FlowMetric, motion_edited
from metrics.motion import inconsistent, warp, warp_errors
from metrics.pixels import same_shape

_FLAT = 1e-6  # a floor below this (x 1000) belongs to a source without texture or motion
Track = tuple[np.ndarray, np.ndarray]  # flow (N - 1, H, W, 2) and valid pixels (N - 1, H, W)


def exact_track(clip: Clip, edit: Edit | None) -> Track:
    """The clip's known flow, valid where not occluded and where the edit moves no boundary.

    An edit of shape changes which pixels belong to the object; the source's flow is not the
    target's there, neither where a pixel is nor where it goes.
    """
    valid = ~clip.flow.occluded_forward
    if edit is not None and edit.oracle_masks is not None:
        changed = (clip.masks != edit.oracle_masks).any(axis=0)
        reached = warp(changed[1:, ..., None].astype(float), clip.flow.forward)[..., 0] > 0
        valid = valid & ~changed[:-1] & ~reached
    return clip.flow.forward, valid


class _Warp(FlowMetric):
    """What the figures share: when warping is defined, and along which flow."""

    extractors = ("exact", *FlowMetric.extractors)
    unit = "x1000"
    range = (0.0, 1000.0)
    citation = "Lai et al. 2018, MSE over RGB in [0, 1] x 1000"

    def _problem(self, sample: Sample) -> str:
        if len(sample.frames) < 2:
            return "a single frame cannot be warped"
        if self.extractor == "exact" and sample.clip.flow is None:
            return "no exact flow is known for this clip"
        return motion_edited(sample) or same_shape(sample) or self.too_small(sample.frames)

    def _track(self, sample: Sample) -> Track:
        """Known flow, or that estimated on the source, valid where the backward flow undoes it."""
        if self.extractor == "exact":
            return exact_track(sample.clip, sample.edit)
        forward, backward = self.flow(sample.clip.frames)
        return forward, ~inconsistent(forward, backward)

    @abstractmethod
    def _errors(self, sample: Sample, track: Track) -> np.ndarray | str:
        """The figure of every pair of frames, or why it is undefined."""

    def compute(self, sample: Sample) -> Score:
        problem = self._problem(sample)
        values = problem or self._errors(sample, self._track(sample))
        if isinstance(values, str):
            return Score(None, reason=values)
        if np.isnan(values).all():
            return Score(None, reason="every pixel is occluded")
        return Score(float(np.nanmean(values)), tuple(values))


class WarpError(_Warp):
    """Masked MSE x 1000 after warping along the source's flow, occlusions left out: known flow
    (exact), or estimated on the source with the occlusion check of Lai et al. (dis, raft-large)."""

    name = "warp_error"
    higher_is_better = False

    def _errors(self, sample: Sample, track: Track) -> np.ndarray | str:
        return warp_errors(sample.frames, *track)


class WarpFloor(_Warp):
    """The source video's own warp error along its flow."""

    name = "warp_floor"
    higher_is_better = None

    def _errors(self, sample: Sample, track: Track) -> np.ndarray | str:
        return warp_errors(sample.clip.frames, *track)


class WarpRatio(_Warp):
    """Warp error over the source's own; 1 for the identity. Comparable between clips."""

    name = "warp_ratio"
    higher_is_better = False
    unit = ""
    range = (0.0, float("inf"))

    def _errors(self, sample: Sample, track: Track) -> np.ndarray | str:
        floor = np.nanmean(warp_errors(sample.clip.frames, *track))
        if not floor > _FLAT:
            return "the source's own warp error is zero"
        return warp_errors(sample.frames, *track) / floor
