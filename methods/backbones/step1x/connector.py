"""From the condition encoder's tokens to what the transformer reads: refined tokens and a vector.

The refiner is that of HunyuanVideo in diffusers, which computes the same; what does not depend on
the time is computed once for all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.transformers.transformer_hunyuan_video import HunyuanVideoTokenRefiner
from torch import Tensor, nn

SCALE = -0.91  # what ``scale_factor`` starts from, as released


@dataclass(frozen=True)
class Prepared:
    """All that steps share of B conditions with L tokens: none of it depends on the time."""

    tokens: Tensor  # (B, L, joint_attention_dim), before the refiner's blocks
    mean: Tensor  # (B, joint_attention_dim), projection of the mean token
    pooled: Tensor  # (B, pooled_projection_dim)
    mask: Tensor  # (B, L) bool, False for padding

    def __getitem__(self, rows: slice) -> Prepared:
        """The same for some of the conditions."""
        return Prepared(self.tokens[rows], self.mean[rows], self.pooled[rows], self.mask[rows])

    def to(self, device: torch.device | str) -> Prepared:
        """The same on a device."""
        return Prepared(*(getattr(self, field.name).to(device) for field in fields(self)))

    @classmethod
    def stack(cls, parts: Sequence[Prepared]) -> Prepared:
        """Conditions one after the other."""
        names = [field.name for field in fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


class Step1XConnector(ModelMixin, ConfigMixin):
    """``Qwen2Connector`` of the released code.

    ``condition_dim``: width of the encoder's tokens; the refiner's heads times their width is the
    width that the transformer takes (its ``joint_attention_dim``).
    """

    _no_split_modules = ["HunyuanVideoIndividualTokenRefinerBlock"]
    _skip_layerwise_casting_patterns = ["norm", "scale_factor"]

    @register_to_config
    def __init__(
        self,
        condition_dim: int = 3584,
        num_attention_heads: int = 32,
        attention_head_dim: int = 128,
        num_layers: int = 2,
        pooled_projection_dim: int = 768,
    ) -> None:
        super().__init__()
        self.refiner = HunyuanVideoTokenRefiner(
            condition_dim, num_attention_heads, attention_head_dim, num_layers
        )
        self.global_proj_out = nn.Linear(condition_dim, pooled_projection_dim)
        self.scale_factor = nn.Parameter(torch.full((1,), SCALE))

    def prepare(self, embeddings: Tensor, mask: Tensor) -> Prepared:
        """Everything that no step changes.

        ``embeddings``: (B, L, condition_dim) of the connector's dtype; ``mask``: (B, L), nonzero
        for tokens, 0 for padding. A row needs at least one token.
        """
        valid = mask.bool()
        weight = valid.float().unsqueeze(-1)
        mean = ((embeddings * weight).sum(dim=1) / weight.sum(dim=1)).to(embeddings.dtype)
        return Prepared(
            tokens=self.refiner.proj_in(embeddings),
            mean=self.refiner.time_text_embed.text_embedder(mean),
            pooled=self.global_proj_out(mean * (1 + self.scale_factor)),
            mask=valid,
        )

    def refine(self, prepared: Prepared, thousandth: Tensor) -> Tensor:
        """(B, L, joint_attention_dim) tokens for times of 0 to 1000, one per condition.

        Padding is masked here; its rows still come out, for the released transformer reads them.
        """
        embed = self.refiner.time_text_embed
        time = embed.time_proj(thousandth).to(prepared.mean.dtype)
        conditioning = embed.timestep_embedder(time) + prepared.mean
        return self.refiner.token_refiner(prepared.tokens, conditioning, prepared.mask)

    def forward(self, embeddings: Tensor, mask: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Refined tokens and pooled vector at flow times ``t`` (B,) in 0 to 1."""
        prepared = self.prepare(embeddings, mask)
        return self.refine(prepared, t * 1000), prepared.pooled
