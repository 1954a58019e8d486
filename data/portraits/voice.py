"""Speech-like sound: syllables of formant-shaped pulses and noise, with pauses between words.

It says nothing, but rises and falls as speech does, four or five times a second. Seeded.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from data.portraits.loudness import levelled
from data.speech import RATE, Audio

# The first three formants of five vowels, in Hz (Peterson and Barney 1952, men's averages).
VOWELS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
_WIDTHS = (80, 110, 160)  # Hz, the formants' bandwidths


def _formants(source: np.ndarray, vowel: str) -> np.ndarray:
    """A source through three resonators in parallel."""
    out = np.zeros_like(source)
    for frequency, width, gain in zip(VOWELS[vowel], _WIDTHS, (1.0, 0.6, 0.3), strict=True):
        radius = np.exp(-np.pi * width / RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
        out += gain * lfilter([1 - radius], poles, source)
    return out


def _syllable(rng: np.random.Generator, pitch: float) -> np.ndarray:
    """A consonant's quiet noise and a vowel that swells and fades."""
    length = int(RATE * rng.uniform(0.12, 0.28))
    t = np.arange(length) / RATE
    glide = pitch * (1 + rng.uniform(-0.15, 0.15) * t / t[-1])
    phase = np.cumsum(glide) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0)
    breath = 0.08 * rng.standard_normal(length)
    voiced = _formants(pulses + breath, str(rng.choice(list(VOWELS))))
    voiced /= np.sqrt(np.mean(voiced**2)) + 1e-9
    swell = np.sin(np.pi * np.linspace(0, 1, length)).clip(0) ** rng.uniform(0.6, 1.2)
    hiss = rng.standard_normal(int(RATE * rng.uniform(0.02, 0.05))) * rng.uniform(0.03, 0.12)
    return np.concatenate([hiss, rng.uniform(0.35, 1.0) * swell * voiced])


def speak(rng: np.random.Generator, seconds: float) -> Audio:
    """Speech-like audio of a length; all of it is drawn from ``rng``."""
    pitch = rng.uniform(90, 230)
    parts: list[np.ndarray] = []
    first = int(RATE * rng.uniform(0.0, 1.0))  # no two voices begin a syllable together
    while sum(map(len, parts)) < first + seconds * RATE:
        parts.append(_syllable(rng, pitch * rng.uniform(0.9, 1.1)))
        pause = rng.uniform(0.12, 0.4) if rng.random() < 0.25 else rng.uniform(0.0, 0.05)
        parts.append(np.zeros(int(RATE * pause)))
    samples = np.concatenate(parts)[first:][: round(seconds * RATE)]
    return levelled(samples + 0.002 * rng.standard_normal(len(samples)), RATE)
