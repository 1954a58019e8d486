"""Motion modules: self-attention along time at every pixel (Guo et al., AnimateDiff, 2023).

diffusers' ``AnimateDiffTransformer3D`` normalises groups over all frames at once; Hallo normalises
every frame by itself. Otherwise these are the same layers.
"""

from __future__ import annotations

from diffusers.models.attention import Attention, FeedForward
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from torch import Tensor, nn

ATTENTIONS = 2  # in one block


class TemporalAttention(Attention):
    """Self-attention over frames that know their place."""

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__(width, heads=heads, dim_head=width // heads)
        self.pos_encoder = SinusoidalPositionalEmbedding(width, max_seq_length=length)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, F, C) normalised states; the position enters the attention, not the residual."""
        return super().forward(self.pos_encoder(hidden))


class TemporalBlock(nn.Module):
    """Two temporal attentions and a feed-forward layer, each with its norm and residual."""

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(
            TemporalAttention(width, heads, length) for _ in range(ATTENTIONS)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(ATTENTIONS))
        self.ff = FeedForward(width, activation_fn="geglu")
        self.ff_norm = nn.LayerNorm(width)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, F, C) to the same shape."""
        for attention, norm in zip(self.attention_blocks, self.norms, strict=True):
            hidden = attention(norm(hidden)) + hidden
        return self.ff(self.ff_norm(hidden)) + hidden


class TemporalTransformer(nn.Module):
    """Norm per frame, projection, block, projection, residual."""

    def __init__(self, width: int, heads: int, groups: int, length: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(width, heads, length)])
        self.proj_out = nn.Linear(width, width)
        for parameter in self.proj_out.parameters():
            nn.init.zeros_(parameter)  # an untrained module changes nothing

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, F, C, h, w) to the same shape."""
        frames, (height, width) = hidden.shape[1], hidden.shape[3:]
        normed = self.norm(hidden.flatten(0, 1)).unflatten(0, (-1, frames))
        tokens = self.proj_in(normed.permute(0, 3, 4, 1, 2).flatten(0, 2))  # (B h w, F, C)
        for block in self.transformer_blocks:
            tokens = block(tokens)
        out = self.proj_out(tokens).unflatten(0, (-1, height, width))
        return out.permute(0, 3, 4, 1, 2) + hidden


class MotionModule(nn.Module):
    """Motion frames and frames see each other; the frames come back."""

    def __init__(self, width: int, heads: int, groups: int, length: int) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(width, heads, groups, length)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, F, C, h, w) to the same shape."""
        return self.temporal_transformer(hidden)
