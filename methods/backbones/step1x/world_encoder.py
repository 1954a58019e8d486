"""The embedded condition encoder: reads the world's instructions and a glance at the picture.

It stands in Qwen2.5-VL's place with the same interface: tokens of the picture, then of the
instruction, zero padding to a fixed length, and a mask. A few words and four patches need no more
than a small transformer, trained together with the editor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from data.errors import UserError, nearest

GLANCE = 16  # pixels a side that a picture is reduced to
SIDE = 2  # picture tokens along a side


def glances(images: Sequence[np.ndarray]) -> Tensor:
    """(B, 4, 192) float32: pictures (H, W, 3) uint8 at 16x16 pixels, as 2x2 patches in [-1, 1]."""
    pixels = [torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1) for image in images]
    small = [F.adaptive_avg_pool2d(each.float()[None], GLANCE) for each in pixels]
    side = GLANCE // SIDE
    patches = torch.cat(small).reshape(-1, 3, SIDE, side, SIDE, side).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(len(patches), SIDE * SIDE, -1) / 127.5 - 1


class WorldConditionEncoder(ModelMixin, ConfigMixin):
    """Word and patch embeddings with places, and a transformer over both.

    ``words``: all that it can read; ``max_words``: the longest instruction. The words' places count
    from the last, which in every phrasing of the world's grammar says what is to be new: its token
    starts as the largest, so that the mean token, which modulates the whole editor, is about it.
    """

    @register_to_config
    def __init__(
        self,
        words: Sequence[str],
        max_words: int = 10,
        width: int = 128,
        layers: int = 1,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.patch = nn.Linear(3 * (GLANCE // SIDE) ** 2, width)
        self.word = nn.Embedding(len(words) + 1, width)  # 0 is padding
        self.place = nn.Parameter(torch.randn(SIDE * SIDE + max_words, width) * 0.5)
        gain = torch.tensor([0.2] * SIDE * SIDE + [4.0] + [0.5] * (max_words - 1))
        self.gain = nn.Parameter(gain)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def word_ids(self, instruction: str) -> Tensor:
        """(max_words,) int64: the words' numbers from 1, then zeros.

        :class:`UserError` for a word it was never taught, or too many.
        """
        words, known = instruction.lower().replace(",", " ").rstrip(". ").split(), self.config.words
        for word in words:
            if word not in known:
                raise UserError(
                    f"instruction '{instruction}': the embedded encoder was not taught the word "
                    f"'{word}'.{nearest(word, known)} It knows: {', '.join(known)}."
                )
        if len(words) > self.config.max_words:
            raise UserError(
                f"instruction '{instruction}': {len(words)} words; the embedded encoder reads at "
                f"most {self.config.max_words}."
            )
        ids = [list(known).index(word) + 1 for word in words]
        return torch.tensor(ids + [0] * (self.config.max_words - len(ids)))

    def forward(self, pictures: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, width) tokens and (B, L) int64 mask of (B, 4, 192) glances and (B, max_words) ids.

        Padding comes out as zeros, as the released encoder pads.
        """
        words = (ids > 0).long()
        from_last = (words.sum(dim=1, keepdim=True) - words.cumsum(dim=1)) * words
        patches = torch.arange(SIDE * SIDE, device=ids.device).expand(len(ids), -1)
        places = torch.cat([patches, from_last + SIDE * SIDE], dim=1)
        mask = torch.cat([torch.ones_like(patches), words], dim=1)
        tokens = torch.cat([self.patch(pictures), self.word(ids)], dim=1) + self.place[places]
        tokens = self.norm(self.blocks(tokens, src_key_padding_mask=mask == 0))
        return tokens * self.gain[places][..., None] * mask[..., None], mask

    @torch.inference_mode()
    def encode(
        self, images: Sequence[np.ndarray], instructions: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """Embeddings (B, L, width) and mask (B, L) int64 of B pictures and instructions.

        Row by row, so that none depends on its company.
        """
        network = {"device": self.device, "dtype": self.dtype}
        rows = [
            self(glances([image]).to(**network), self.word_ids(text)[None].to(self.device))
            for image, text in zip(images, instructions, strict=True)
        ]
        return torch.cat([tokens for tokens, _ in rows]), torch.cat([mask for _, mask in rows])
