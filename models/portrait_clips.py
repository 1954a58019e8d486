"""Training clips of the portrait world: runs of frames, others of the same face, and the sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.files import whole
from data.portraits.face import Motion
from data.portraits.loudness import FPS, opening
from data.portraits.render import render_frames, render_truth
from data.portraits.sample import draw_face, draw_motion
from data.portraits.voice import speak
from data.progress import Progress
from methods.log_mel import log_mel

RUN, OTHERS, WHOLE = 20, 4, 100  # frames in a row, others of the same face, drawn from so many


@dataclass(frozen=True)
class PortraitClips:
    """``C`` clips: ``RUN`` frames in a row, then ``OTHERS`` from anywhere else."""

    frames: np.ndarray  # (C, RUN + OTHERS, 64, 64, 3) uint8
    boxes: np.ndarray  # (C, 2, RUN + OTHERS, 4) of face and lips
    openings: np.ndarray  # (C, RUN + OTHERS)
    features: np.ndarray  # (C, RUN + 4, 64) log-mel of the run and of two frames on either side


def _clip(rng: np.random.Generator, unseen: bool) -> tuple[np.ndarray, ...]:
    face, motion = draw_face(rng, unseen=unseen), draw_motion(rng, WHOLE)
    voice = speak(rng, WHOLE / FPS)
    first = int(rng.integers(2, WHOLE - RUN - 2))
    outside = [t for t in range(WHOLE) if not first <= t < first + RUN]
    chosen = np.r_[first : first + RUN, rng.choice(outside, OTHERS, replace=False)]
    motion = Motion(motion.x[chosen], motion.y[chosen], motion.lids[chosen])
    opened = opening(voice, WHOLE)[chosen]
    features = log_mel(voice.samples, voice.rate, WHOLE)[first - 2 : first + RUN + 2, 0]
    truth = render_truth(face, motion, opened)
    return render_frames(face, motion, opened), truth.boxes, opened, features


def portrait_clips(
    count: int, seed: int, *, unseen: bool = False, cache: Path | None = None
) -> PortraitClips:
    """Draw and render clips; with ``cache`` (an ``.npz``) once, and read back afterwards."""
    if cache is not None and cache.exists():
        with np.load(cache) as stored:
            return PortraitClips(**{name: stored[name] for name in stored.files})
    progress, clips = Progress("render training portraits", count), []
    for index in range(count):
        clips.append(_clip(np.random.default_rng([seed, int(unseen), index]), unseen))
        progress.update()
    clips = PortraitClips(*(np.stack(part) for part in zip(*clips, strict=True)))
    if cache is not None:
        with whole(cache) as part, part.open("wb") as stream:
            np.savez(stream, **vars(clips))
    return clips
