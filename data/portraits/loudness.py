"""How loud a voice is, frame by frame: what opens a portrait's mouth.

The opening at a frame is the root mean square of the sound under a Hann window of 80 ms about the
frame's middle, as a share of ``FULL`` and at most 1: a window of five frames of sound tells it.
"""

from __future__ import annotations

import numpy as np

from data.speech import Audio

FPS = 25.0
FULL = 5000.0  # RMS of 16-bit samples that opens a mouth fully
_WINDOW = 0.08  # seconds
_LOUD = 90  # percentile of the opening that a voice is brought to
_TARGET = 0.75


def opening(audio: Audio, n_frames: int, fps: float = FPS) -> np.ndarray:
    """(N,) openings in [0, 1] of the mouth that speaks an audio; silence where it is too short."""
    half = round(_WINDOW * audio.rate / 2)
    weights = np.hanning(2 * half + 1)[:-1]
    weights /= weights.sum()
    power = np.pad(audio.samples.astype(np.float64) ** 2, half)
    starts = np.round((np.arange(n_frames) + 0.5) / fps * audio.rate).astype(int)
    power = np.pad(power, (0, max(0, int(starts[-1]) + 2 * half - len(power))))
    mean = np.array([weights @ power[start : start + 2 * half] for start in starts])
    return np.round(np.minimum(np.sqrt(mean) / FULL, 1.0), 6)


def levelled(samples: np.ndarray, rate: int, fps: float = FPS) -> Audio:
    """A voice as 16-bit audio, brought to the loudness that speaks with a whole mouth.

    ``samples`` (S,) are of any scale; silence stays silence.
    """
    peak = np.abs(samples).max()
    if peak == 0:
        return Audio(np.zeros(len(samples), np.int16), rate)
    scaled = samples / peak * 8000.0
    n = max(1, int(len(samples) / rate * fps))
    loud = np.percentile(opening(Audio(scaled, rate), n), _LOUD)
    gain = _TARGET / max(loud, 0.02)
    return Audio(
        np.clip(np.floor(np.round(scaled * gain, 6) + 0.5), -32767, 32767).astype(np.int16), rate
    )
