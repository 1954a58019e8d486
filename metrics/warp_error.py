"""Warp error: how far frames are from following the source's optical flow (Lai et al. 2018).

Three figures for each source of flow: the error, its floor (the source's own error, from sampling
and shading alone) and their ratio, which is comparable between clips.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from data.clip import Clip, Edit
from metrics.base import Metric, Sample, Score
from metrics.motion import dis_flow, inconsistent, warp, warp_errors
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


def dis_track(clip: Clip) -> Track:
    """Flow estimated on the source's frames, valid where it is undone by the backward flow."""
    forward, backward = dis_flow(clip.frames)
    return forward, ~inconsistent(forward, backward)


class _Warp(Metric):
    """What the recipes share: when warping is defined, and along which flow."""

    unit = "x1000"
    range = (0.0, 1000.0)
    citation = "Lai et al. 2018, MSE over RGB in [0, 1] x 1000"

    def _problem(self, sample: Sample) -> str:
        if len(sample.frames) < 2:
            return "a single frame cannot be warped"
        if sample.edit is not None and "motion" in sample.edit.kind.split("+"):
            return "the edit changes the motion: the source's flow is not the target's"
        return same_shape(sample)

    def _exact(self, sample: Sample) -> Track | str:
        if sample.clip.flow is None:
            return "no exact flow is known for this clip"
        return exact_track(sample.clip, sample.edit)

    def _dis(self, sample: Sample) -> Track | str:
        if min(sample.clip.frames.shape[1:3]) < 16:
            return "frames are too small for optical flow"
        return dis_track(sample.clip)

    @abstractmethod
    def _track(self, sample: Sample) -> Track | str:
        """Flow and valid pixels, or why there are none."""

    @abstractmethod
    def _errors(self, sample: Sample, track: Track) -> np.ndarray | str:
        """The figure of every pair of frames, or why it is undefined."""

    def compute(self, sample: Sample) -> Score:
        problem = self._problem(sample)
        track = problem or self._track(sample)
        values = track if isinstance(track, str) else self._errors(sample, track)
        if isinstance(values, str):
            return Score(None, reason=values)
        if np.isnan(values).all():
            return Score(None, reason="every pixel is occluded")
        return Score(float(np.nanmean(values)), tuple(values))


class _Error(_Warp):
    higher_is_better = False

    def _errors(self, sample: Sample, track: Track) -> np.ndarray | str:
        return warp_errors(sample.frames, *track)


class _Floor(_Warp):
    higher_is_better = None

    def _errors(self, sample: Sample, track: Track) -> np.ndarray | str:
        return warp_errors(sample.clip.frames, *track)


class _Ratio(_Warp):
    higher_is_better = False
    unit = ""
    range = (0.0, float("inf"))

    def _errors(self, sample: Sample, track: Track) -> np.ndarray | str:
        floor = np.nanmean(warp_errors(sample.clip.frames, *track))
        if not floor > _FLAT:
            return "the source's own warp error is zero"
        return warp_errors(sample.frames, *track) / floor


class WarpErrorExact(_Error):
    """Masked MSE x 1000 after warping along the world's exact flow, occlusions left out."""

    recipe = "warp_error@exact"
    _track = _Warp._exact


class WarpFloorExact(_Floor):
    """The source video's own warp error along the exact flow."""

    recipe = "warp_floor@exact"
    _track = _Warp._exact


class WarpRatioExact(_Ratio):
    """Warp error over the source's own, exact flow; 1 for the identity."""

    recipe = "warp_ratio@exact"
    _track = _Warp._exact


class WarpErrorDis(_Error):
    """Masked MSE x 1000 after warping along the source's DIS flow, occlusions by Lai's check."""

    recipe = "warp_error@dis"
    _track = _Warp._dis


class WarpFloorDis(_Floor):
    """The source video's own warp error along its DIS flow."""

    recipe = "warp_floor@dis"
    _track = _Warp._dis


class WarpRatioDis(_Ratio):
    """Warp error over the source's own, DIS flow; 1 for the identity."""

    recipe = "warp_ratio@dis"
    _track = _Warp._dis
