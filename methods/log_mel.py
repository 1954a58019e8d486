"""Log-mel features of speech: what the embedded model hears in place of wav2vec2's states.

16 mel bands from 60 to 7600 Hz, four times a frame of video (every 10 ms at 25 frames a second),
as the natural logarithm of the power, scaled to about [-1, 1].
"""

from __future__ import annotations

from functools import cache

import numpy as np

BANDS, HOPS = 16, 4
WIDTH = BANDS * HOPS
_LOW, _HIGH = 60.0, 7600.0  # Hz
_SECONDS = 0.025  # of a window
_FLOOR = 1e-3  # of the power, with samples in [-1, 1]: below a whisper


@cache
def _filters(rate: int, size: int) -> np.ndarray:
    """(BANDS, size // 2 + 1) triangles, equally spaced in mels (O'Shaughnessy 1987)."""
    mels = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (_LOW, _HIGH)), BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    at = np.arange(size // 2 + 1) * rate / size
    rise = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(rise, fall), 0, None)


def log_mel(samples: np.ndarray, rate: int, n_frames: int, fps: float = 25.0) -> np.ndarray:
    """(N, 1, 64) float32 features of (S,) int16 samples, one layer of 64 numbers a frame.

    Sound that is too short is followed by silence.
    """
    size = round(_SECONDS * rate)
    middles = (np.arange(n_frames * HOPS) + 0.5) / (HOPS * fps) * rate
    starts = np.round(middles).astype(int) - size // 2
    pad = size
    length = max(len(samples), int(starts[-1]) + size) + pad
    sound = np.zeros(pad + length)
    sound[pad : pad + len(samples)] = samples / 32768.0
    windows = sound[pad + starts[:, None] + np.arange(size)] * np.hanning(size)
    power = np.abs(np.fft.rfft(windows)) ** 2 / size
    bands = np.log(power @ _filters(rate, size).T + _FLOOR)
    scaled = (bands - np.log(_FLOOR)) / 4.0 - 1.0
    return scaled.reshape(n_frames, 1, WIDTH).astype(np.float32)
