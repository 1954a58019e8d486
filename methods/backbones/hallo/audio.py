"""Audio modules: every frame's pixels ask its audio tokens, thrice, in masked regions.

Hierarchical audio-driven visual synthesis (Xu et al. 2024, section 3.3): one cross-attention each
for the whole picture's pose, the face's expression and the lips.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from diffusers.models.attention import Attention, FeedForward
from torch import Tensor, nn

REGIONS = ("full", "face", "lip")  # pose, expression, lips: the order of masks and motion scales


class AudioBlock(nn.Module):
    """Self-attention, three masked cross-attentions summed by motion scale, feed-forward."""

    def __init__(self, width: int, heads: int, audio_dim: int) -> None:
        super().__init__()
        dim_head = width // heads
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, heads=heads, dim_head=dim_head)
        self.norm2 = nn.LayerNorm(width)
        for index, region in enumerate(REGIONS):
            crossed = Attention(width, audio_dim, heads=heads, dim_head=dim_head)
            self.add_module(f"attn2_{index}", crossed)
            zero = nn.Conv2d(width, width, kernel_size=1)
            for parameter in zero.parameters():
                nn.init.zeros_(parameter)  # an untrained module hears nothing
            self.add_module(f"zero_conv_{region}", zero)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width, activation_fn="geglu")

    def forward(
        self, hidden: Tensor, audio: Tensor, masks: Tensor, motion_scale: Sequence[float]
    ) -> Tensor:
        """(N, S, C) pixels, (N, A, D) audio tokens, (N, 3, S) masks to (N, S, C).

        The zero convolution's bias is added outside the mask as well, as released.
        """
        hidden = self.attn1(self.norm1(hidden)) + hidden
        asking = self.norm2(hidden)
        for index, (region, scale) in enumerate(zip(REGIONS, motion_scale, strict=True)):
            if scale == 0:
                continue
            heard = self.get_submodule(f"attn2_{index}")(asking, encoder_hidden_states=audio)
            conv = self.get_submodule(f"zero_conv_{region}")
            heard = F.linear(heard * masks[:, index, :, None], conv.weight[..., 0, 0], conv.bias)
            hidden = hidden + scale * heard
        return self.ff(self.norm3(hidden)) + hidden


class AudioModule(nn.Module):
    """An audio block between two projections; its ``inner`` width may differ from the network's."""

    def __init__(self, width: int, inner: int, heads: int, groups: int, audio_dim: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, inner, kernel_size=1)
        self.transformer_blocks = nn.ModuleList([AudioBlock(inner, heads, audio_dim)])
        self.proj_out = nn.Conv2d(inner, width, kernel_size=1)

    def forward(
        self, hidden: Tensor, audio: Tensor, masks: Tensor, motion_scale: Sequence[float]
    ) -> Tensor:
        """(N, C, h, w) to the same shape; N frames, the rest as in :class:`AudioBlock`."""
        projected = self.proj_in(self.norm(hidden))
        tokens = projected.flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, audio, masks, motion_scale)
        return self.proj_out(tokens.transpose(1, 2).reshape(projected.shape)) + hidden
