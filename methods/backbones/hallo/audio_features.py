"""Sound as features of 25 frames a second, and what each frame hears of them.

An extractor takes (S,) int16 samples at 16 kHz and a number of frames, and gives (frames, layers,
dim) float32. Frames past the sound's end hear silence.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import ceil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Wav2Vec2Model

from data.errors import UserError, nearest
from methods.attention import control, record_output
from methods.log_mel import log_mel

RATE, FPS = 16_000, 25
SAMPLES = RATE // FPS  # of one frame
PIECE, CONTEXT = 60 * FPS, 4 * FPS  # frames that wav2vec2 hears at once, and around them

Extractor = Callable[[np.ndarray, int], Tensor]


def windowed(features: Tensor, size: int, frames: slice = slice(None)) -> Tensor:
    """(F, size, ...): features of frames amid their neighbours', clamped to the sound's ends."""
    reach = torch.arange(size) - size // 2
    middles = torch.arange(len(features))[frames]
    return features[(middles[:, None] + reach).clamp(0, len(features) - 1)]


def stretched(features: Tensor, frames: int) -> Tensor:
    """(1, n, C) to (1, frames, C), linearly, ends on ends."""
    return F.interpolate(
        features.transpose(1, 2), size=frames, mode="linear", align_corners=True
    ).transpose(1, 2)


class LogMel:
    """The embedded form: one layer of log-mel bands, nothing to load."""

    def __call__(self, samples: np.ndarray, frames: int) -> Tensor:
        """(frames, 1, 64)."""
        return torch.from_numpy(log_mel(samples, RATE, frames))


class Wav2Vec2:
    """The released form: all transformer layers of wav2vec2 (Baevski et al. 2020).

    The convolutions' features are brought to 25 a second before the transformer. Sound longer than
    a minute is heard in minutes, each with four seconds around it, so that memory stays bounded.
    """

    def __init__(self, model: Wav2Vec2Model) -> None:
        self.model = model.eval().requires_grad_(False)

    def __call__(self, samples: np.ndarray, frames: int) -> Tensor:
        """(frames, layers, dim), on the CPU."""
        wave = torch.from_numpy(samples.astype(np.float32) / 32768.0)
        return self.hear(wave, frames)

    def hear(self, wave: Tensor, frames: int) -> Tensor:
        """The same of (S,) float samples; the tail is padded by whole frames, as released."""
        wave = (wave - wave.mean()) / (wave.var(correction=0) + 1e-7) ** 0.5
        wave = F.pad(wave, (0, (frames - ceil(len(wave) / SAMPLES)) * SAMPLES))
        if frames <= PIECE:
            return self._layers(wave, frames)
        pieces = []
        for first in range(0, frames, PIECE):
            last = min(first + PIECE, frames)
            start, end = max(0, first - CONTEXT), min(frames, last + CONTEXT)
            heard = self._layers(wave[start * SAMPLES : end * SAMPLES], end - start)
            pieces.append(heard[first - start : last - start])
        return torch.cat(pieces)

    def _layers(self, wave: Tensor, frames: int) -> Tensor:
        record: dict[str, Tensor] = {}
        names = [f"encoder.layers.{i}" for i in range(len(self.model.encoder.layers))]
        hooks = {name: record_output(record, name) for name in names}
        with torch.inference_mode(), control(self.model, hooks=hooks):
            sound = wave.to(self.model.device)[None]
            features = self.model.feature_extractor(sound).transpose(1, 2)
            projected, _ = self.model.feature_projection(stretched(features, frames))
            self.model.encoder(projected)
        states = [record[name] for name in names]
        return torch.stack([s[0] if isinstance(s, tuple) else s for s in states], 2)[0].cpu()


def load_extractor(folder: Path, device: str) -> Extractor:
    """The extractor that ``folder/config.json`` asks for; :class:`UserError` if it is none."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    kind = config.get("kind", config.get("model_type"))
    if kind == "log-mel":
        return LogMel()
    if kind == "wav2vec2":
        model = Wav2Vec2Model.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        return Wav2Vec2(model.to(device))
    kinds = ["log-mel", "wav2vec2"]
    raise UserError(
        f"{path}: unknown kind of audio features '{kind}'; allowed: {', '.join(kinds)}."
        f"{nearest(str(kind), kinds)}"
    )
