"""The embedded CLIP: an open_clip model trained on the procedural world."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import torch
from open_clip import CLIP
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import CLIPTokenizer

from metrics.extractors import SMALLEST
from metrics.memo import Memo

# Its training captions name no motion (a single frame shows none), so neither do its prompts.
_MOTION = re.compile(r"\bmoving (left|right|up|down)\b ?")
_BATCH = 64


def without_motion(prompt: str) -> str:
    """The prompt as the embedded CLIP reads it."""
    return _MOTION.sub("", prompt).strip()


class WorldClip:
    """Image and text embeddings, and feature maps, in float32 on the CPU."""

    def __init__(self, folder: Path) -> None:
        """Load ``config.json``, ``model.safetensors`` and the tokenizer of a folder."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        preprocess = config.pop("preprocess_cfg")
        self.size = int(preprocess["size"])
        self._mean = torch.tensor(preprocess["mean"]).view(1, 3, 1, 1)
        self._std = torch.tensor(preprocess["std"]).view(1, 3, 1, 1)
        self._length = int(config["text_cfg"]["context_length"])
        self._tokenizer = CLIPTokenizer.from_pretrained(folder)
        # Drawing initial weights would move the global random state, though they are replaced.
        with torch.random.fork_rng(devices=[]):
            self._model = CLIP(**config)
        self._model.load_state_dict(load_file(folder / "model.safetensors"))
        self._model.eval().requires_grad_(False)
        self._embeddings: Memo[torch.Tensor] = Memo()  # several metrics embed the same frames
        self._features: Memo[list[torch.Tensor]] = Memo()

    def _pixels(self, frames: np.ndarray) -> torch.Tensor:
        """(N, H, W, 3) uint8 or float in [0, 1] to normalised (N, 3, H, W)."""
        pixels = torch.tensor(frames).permute(0, 3, 1, 2).contiguous()
        pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
        return (pixels - self._mean) / self._std

    def _fit(self, pixels: torch.Tensor) -> torch.Tensor:
        """Short side to the model's size (bicubic, antialiased), then the centred square."""
        height, width = pixels.shape[-2:]
        if (height, width) != (self.size, self.size):
            scale = self.size / min(height, width)
            size = [max(self.size, round(height * scale)), max(self.size, round(width * scale))]
            pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True)
            top, left = (size[0] - self.size) // 2, (size[1] - self.size) // 2
            pixels = pixels[..., top : top + self.size, left : left + self.size]
        return pixels

    def _embed(self, frames: np.ndarray) -> torch.Tensor:
        pixels = self._fit(self._pixels(frames))
        parts = [self._model.encode_image(part) for part in pixels.split(_BATCH)]
        return F.normalize(torch.cat(parts), dim=-1)

    @torch.no_grad()
    def encode_image(self, frames: np.ndarray) -> torch.Tensor:
        """(N, D) unit embeddings of (N, H, W, 3) frames, uint8 or float in [0, 1]."""
        return self._embeddings.get(frames, lambda: self._embed(frames))

    @torch.no_grad()
    def encode_text(self, prompts: list[str]) -> torch.Tensor:
        """(B, D) unit embeddings of prompts; words past the context length are cut off."""
        tokens = self._tokenizer(
            [without_motion(prompt) for prompt in prompts],
            padding="max_length",
            truncation=True,
            max_length=self._length,
            return_tensors="pt",
        ).input_ids
        return self._model.encode_text(tokens, normalize=True)

    def sees_equal(self, prompt: str, other: str) -> bool:
        """Whether two prompts are the same once the words it never learned are left out."""
        return without_motion(prompt) == without_motion(other)

    @torch.no_grad()
    def fresh_features(self, frames: np.ndarray) -> list[torch.Tensor]:
        """(N, C, h, w) activations after the stem and each of the four stages of the image tower.

        At the frames' own resolution, of unit length over C; ValueError below 32 pixels.
        """
        if min(frames.shape[1:3]) < SMALLEST:
            raise ValueError(f"frames of at least {SMALLEST} pixels are needed")
        output = self._model.visual.forward_intermediates(
            self._pixels(frames), intermediates_only=True
        )
        return [F.normalize(part, dim=1, eps=1e-10) for part in output["image_intermediates"]]

    def unit_features(self, frames: np.ndarray) -> list[torch.Tensor]:
        """The same, remembered for the last few frames."""
        return self._features.get(frames, lambda: self.fresh_features(frames))

    def distances(
        self, features: list[torch.Tensor], reference: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """(N, h, w) squared differences at each depth, each a fifth of the distance."""
        pairs = list(zip(features, reference, strict=True))
        return [(a - b).pow(2).sum(dim=1) / len(pairs) for a, b in pairs]
