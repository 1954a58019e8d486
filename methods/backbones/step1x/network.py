"""The editor's network: connector and transformer, as one module to predict with and to train."""

from __future__ import annotations

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from methods.backbones.step1x.connector import Prepared, Step1XConnector
from methods.backbones.step1x.packing import image_ids, text_ids


class Step1XNetwork(nn.Module):
    """Velocity of the flow from clean (t = 0) to noise (t = 1): noise minus clean."""

    def __init__(self, transformer: FluxTransformer2DModel, connector: Step1XConnector) -> None:
        super().__init__()
        self.transformer, self.connector = transformer, connector

    def forward(
        self,
        target: Tensor,
        reference: Tensor,
        embeddings: Tensor,
        mask: Tensor,
        t: Tensor,
        grid: tuple[int, int],
        mask_text: bool = False,
    ) -> Tensor:
        """(B, N, C) velocity of the target's tokens: what training asks for.

        ``target``, ``reference``: (B, N, C) packed tokens, noisy and clean; ``embeddings``:
        (B, L, D) of the condition encoder and ``mask`` (B, L) of its tokens; ``t``: (B,) in 0 to 1;
        ``grid``: rows and columns of tokens, N in all.
        """
        prepared = self.connector.prepare(embeddings, mask)
        return self.predict(target, reference, prepared, t, grid, mask_text)[:, : target.shape[1]]

    def predict(
        self,
        target: Tensor,
        reference: Tensor,
        prepared: Prepared,
        t: Tensor,
        grid: tuple[int, int],
        mask_text: bool = False,
    ) -> Tensor:
        """(B, 2 N, C) prediction for target and reference tokens; see :meth:`forward`.

        ``mask_text``: keep padding out of the transformer. As released it takes part.
        """
        text = self.connector.refine(prepared, t * 1000)
        control = None
        if mask_text:
            length = int(prepared.mask.sum(dim=1).max())  # padding follows the tokens
            text, mask = text[:, :length].contiguous(), prepared.mask[:, :length]
            if not mask.all():
                images = mask.new_ones(len(mask), 2 * target.shape[1])
                control = {"attention_mask": torch.cat([mask, images], dim=1)[:, None, None]}
        return self.transformer(
            hidden_states=torch.cat([target, reference], dim=1),
            encoder_hidden_states=text,
            pooled_projections=prepared.pooled,
            timestep=t,
            img_ids=image_ids(grid).to(target.device),
            txt_ids=text_ids(text.shape[1]).to(target.device),
            joint_attention_kwargs=control,
            return_dict=False,
        )[0]
