"""The reference network: what it sees of a picture is kept for the denoising network to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from methods.attention import control, record_output
from methods.backbones.hallo.config import HalloConfig
from methods.backbones.hallo.rows import dealt_rows, distinct_rows

Bank = dict[str, Tensor]  # by module path of a transformer block


@dataclass(frozen=True)
class Shown:
    """What one transformer block of the denoising network is shown; B clips.

    ``pictures``: (B, K, S, C), the reference picture; frame i of a clip sees the (i mod K)-th.
    ``motion``: (B, n, S, C), motion frames, first to last.
    """

    pictures: Tensor
    motion: Tensor


class ReferenceUNet(UNet2DConditionModel):
    """Stable Diffusion's UNet without its output layers."""

    def __init__(self, config: HalloConfig) -> None:
        super().__init__(**config.unet())
        self.conv_norm_out = None
        self.conv_out = nn.Identity()

    def bank(self, latents: Tensor, tokens: Tensor) -> Bank:
        """Normalised states (N, S, C) of every transformer block at timestep 0.

        ``latents``: (N, 4, h, w) clean pictures; ``tokens``: (N, T, D), each picture's own.
        """
        bank: Bank = {}
        sites = [name for name, _ in self.named_modules() if name.endswith(".norm1")]
        blocks = [name for name in sites if ".transformer_blocks." in name]
        hooks = {name: record_output(bank, name.removesuffix(".norm1")) for name in blocks}
        with control(self, hooks=hooks):
            self(latents, 0, tokens)
        return bank


def reference_bank(
    network: ReferenceUNet, pictures: Tensor, order: Sequence[int], tokens: Tensor
) -> Bank:
    """The bank (R, 1 + n, S, C) of R conditions: the reference picture, then n motion frames.

    ``pictures``: (P, 4, h, w); ``order``: which of them is the reference and which the motion
    frames; ``tokens``: (R, T, D), for guidance the unconditional ones first. See
    :func:`methods.backbones.hallo.rows.dealt_rows`; rows that come out equal are computed once.
    """
    rows, distinct = dealt_rows(order, len(tokens)), distinct_rows(order, len(tokens))
    shown, told = (list(column) for column in zip(*distinct, strict=True))
    bank = network.bank(pictures[shown], tokens[told])
    places = torch.tensor([distinct.index(row) for row in rows], device=pictures.device)
    return {
        site: kept[places].unflatten(0, (len(tokens), len(order))) for site, kept in bank.items()
    }


def shown(bank: Bank, n_frames: int) -> dict[str, Shown]:
    """What R conditions of one clip are shown of a bank (R, 1 + n, S, C).

    As released, the R encodings of the reference picture are dealt out in turn over the frames of
    all conditions, so that every other frame sees the picture as the other condition encoded it.
    """
    result = {}
    for site, kept in bank.items():
        conditions = len(kept)
        turns = [
            [(condition * n_frames + k) % conditions for k in range(conditions)]
            for condition in range(conditions)
        ]
        result[site] = Shown(kept[:, 0][torch.tensor(turns, device=kept.device)], kept[:, 1:])
    return result
