"""What turns a face, a sound and a place into what the networks read."""

from __future__ import annotations

import torch.nn.functional as F
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import Tensor, nn


class ImageProjection(nn.Module):
    """A face embedding as a few tokens; the unconditional tokens are those of a zero embedding."""

    def __init__(self, face_dim: int, width: int, tokens: int) -> None:
        super().__init__()
        self.proj = nn.Linear(face_dim, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, face_dim) to (B, tokens, width)."""
        return self.norm(self.proj(embedding).unflatten(-1, (-1, self.norm.normalized_shape[0])))


class AudioProjection(nn.Module):
    """What a frame hears, a window of features of several layers, as tokens."""

    def __init__(self, features: int, hidden: int, width: int, tokens: int) -> None:
        super().__init__()
        self.proj1 = nn.Linear(features, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, F, window, layers, dim) to (B, F, tokens, width)."""
        hidden = F.relu(self.proj1(features.flatten(2)))
        tokens = self.proj3(F.relu(self.proj2(hidden)))
        return self.norm(tokens.unflatten(-1, (-1, self.norm.normalized_shape[0])))


class FaceLocator(ControlNetConditioningEmbedding):
    """Where the face may be: (B, 3, H, W) of 0 and 1 to (B, C, H / 8, W / 8), as ControlNet does.

    ``C`` is the width of the denoising network's first level; its last layer starts at zero.
    """

    def __init__(self, width: int, channels: tuple[int, ...]) -> None:
        super().__init__(width, conditioning_channels=3, block_out_channels=channels)
