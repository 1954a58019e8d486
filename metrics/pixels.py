"""Pixel-wise differences of frames, and which pixels an edit was to leave alone."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from metrics.base import Sample

PSNR_CAP = 100.0  # dB, stands for identical frames
RIM = 2  # pixels around an object that its antialiased edge and any resampling reach


def as_float(frames: np.ndarray) -> np.ndarray:
    """Frames as float64 in [0, 1], from uint8 or from floats already in [0, 1]."""
    return frames / 255.0 if frames.dtype == np.uint8 else frames.astype(np.float64)


def mean_over(maps: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    """(N,) means of (N, H, W) maps over all or the chosen pixels; NaN where none is chosen."""
    if where is None:
        return maps.mean(axis=(1, 2))
    count = where.sum(axis=(1, 2))
    return np.where(count > 0, (maps * where).sum(axis=(1, 2)) / np.maximum(count, 1), np.nan)


def mse(frames: np.ndarray, reference: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """(N,) mean squared errors of (N, H, W, 3) frames over RGB in [0, 1].

    ``where`` (N, H, W) chooses pixels; NaN for a frame in which it chooses none.
    """
    return mean_over(((as_float(frames) - as_float(reference)) ** 2).mean(axis=-1), where)


def psnr(frames: np.ndarray, reference: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """(N,) peak signal-to-noise ratio in dB, as ``mse``; at most 100 dB."""
    with np.errstate(divide="ignore"):
        return np.minimum(-10 * np.log10(mse(frames, reference, where)), PSNR_CAP)


def same_shape(sample: Sample) -> str:
    """Why frames and source cannot be compared pixel by pixel; empty if they can."""
    ours, source = sample.frames.shape, sample.clip.frames.shape
    if ours == source:
        return ""
    return "frames are {}x{}x{}, the source's {}x{}x{}".format(*ours[:3], *source[:3])


def no_oracle(sample: Sample) -> str:
    """Why there is no oracle to compare with; empty if there is one."""
    if sample.edit is None:
        return "no edit is asked"
    if sample.edit.oracle is None:
        return "no oracle is known for this edit"
    if sample.edit.oracle.shape != sample.frames.shape:
        return "frames and oracle differ in number or size"
    return ""


def objects(sample: Sample) -> tuple[np.ndarray | None, str]:
    """(N, H, W) pixels of all objects, before and after the edit, or None and why not."""
    if sample.clip.masks is None:
        return None, "no object masks are known for this clip"
    problem = same_shape(sample)
    if problem:
        return None, problem
    pixels = sample.clip.masks.any(axis=0)
    if sample.edit is not None and sample.edit.oracle_masks is not None:
        pixels = pixels | sample.edit.oracle_masks.any(axis=0)
    return pixels, ""


def untouched(sample: Sample) -> tuple[np.ndarray | None, str]:
    """(N, H, W) pixels outside all objects, before and after the edit, or None and why not.

    Objects are grown by 2 pixels. Where the edit is to change ground or style, nothing is outside.
    """
    inside, reason = objects(sample)
    if inside is None:
        return None, reason
    if sample.edit is not None and {"ground", "style"} & set(sample.edit.kind.split("+")):
        return None, "the edit is to change everything outside the objects"
    square = np.ones((1, 2 * RIM + 1, 2 * RIM + 1), bool)
    outside = ~ndimage.binary_dilation(inside, square)
    return (outside, "") if outside.any() else (None, "the objects fill the frame")
