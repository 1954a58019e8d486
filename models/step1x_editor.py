"""The embedded instruction editor before its training: its parts, and what they start from."""

from __future__ import annotations

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from data.world.instruct import WORDS
from methods.backbones.step1x.connector import Step1XConnector
from methods.backbones.step1x.network import Step1XNetwork
from methods.backbones.step1x.world_encoder import WorldConditionEncoder
from models.world_triples import GRID

HEADS, HEAD_DIM, CONDITION, POOLED = 4, 32, 128, 64
AXES = (4, 14, 14)  # of a head's width, for text, rows and columns: the released shares
BLOCKS = {"num_layers": 3, "num_single_layers": 3}


class Editor(nn.Module):
    """All that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = WorldConditionEncoder(WORDS, width=CONDITION)
        self.network = Step1XNetwork(
            FluxTransformer2DModel(
                in_channels=16,
                attention_head_dim=HEAD_DIM,
                num_attention_heads=HEADS,
                joint_attention_dim=HEADS * HEAD_DIM,
                pooled_projection_dim=POOLED,
                axes_dims_rope=AXES,
                **BLOCKS,
            ),
            Step1XConnector(
                condition_dim=CONDITION,
                num_attention_heads=HEADS,
                attention_head_dim=HEAD_DIM,
                pooled_projection_dim=POOLED,
            ),
        )
        look_in_place(self.network.transformer)
        read_plainly(self.encoder, self.network)

    def forward(self, noisy: Tensor, source: Tensor, glance: Tensor, ids: Tensor, t: Tensor):
        """(B, 64, 16) velocity."""
        return self.network(noisy, source, *self.encoder(glance, ids), t, (GRID, GRID))


@torch.no_grad()
def look_in_place(transformer: FluxTransformer2DModel) -> None:
    """Initial weights that shorten the training: nothing modulated, and heads that look in place.

    Half of each block's heads attend to where they are, which makes copying from the source a
    matter of values alone: their queries and keys have a bias along the rotary pairs fast enough
    to tell 8 places apart.
    """
    fast = [AXES[0] + k for k in range(4)] + [AXES[0] + AXES[1] + k for k in range(4)]
    chosen = torch.tensor([HEAD_DIM * head + k for head in range(HEADS // 2) for k in fast])
    for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
        for projection, norm in (
            (block.attn.to_q, block.attn.norm_q),
            (block.attn.to_k, block.attn.norm_k),
        ):
            projection.bias.zero_()
            projection.bias[chosen] = 2.0
            norm.weight[fast] = 2.0
    for module in transformer.modules():
        parts = {"AdaLayerNormZero": 6, "AdaLayerNormZeroSingle": 3, "AdaLayerNormContinuous": 2}
        count = parts.get(type(module).__name__)
        if count:
            nn.init.zeros_(module.linear.weight)
            nn.init.zeros_(module.linear.bias)
            for gate in range(2, count, 3):  # shift, scale, gate of attention and of the MLP
                module.linear.bias.chunk(count)[gate].fill_(0.5)
    nn.init.zeros_(transformer.proj_out.weight)
    nn.init.zeros_(transformer.proj_out.bias)


@torch.no_grad()
def read_plainly(encoder: WorldConditionEncoder, network: Step1XNetwork) -> None:
    """Initial weights that let an instruction through at once, as loud as the time.

    With the usual ones a word's trace was a twentieth of the time's, and was not found within 1,500
    steps. Encoder, refiner and what embeds their tokens start as identities, the pooled vector and
    its embedding amplify, and one head of each double block looks at the text: along the pairs that
    no place rotates, its queries oppose all keys of pictures.
    """
    connector, transformer = network.connector, network.transformer
    for layer in encoder.blocks.layers:
        nn.init.zeros_(layer.self_attn.out_proj.weight)
        nn.init.zeros_(layer.linear2.weight)
    for block in connector.refiner.token_refiner.refiner_blocks:
        nn.init.zeros_(block.norm_out.linear.weight)
        nn.init.zeros_(block.norm_out.linear.bias)
    for linear in (connector.refiner.proj_in, transformer.context_embedder):
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    nn.init.zeros_(connector.scale_factor)
    embedder = transformer.time_text_embed.text_embedder
    for linear in (connector.global_proj_out, embedder.linear_1, embedder.linear_2):
        nn.init.normal_(linear.weight, std=1.5 / linear.in_features**0.5)
        nn.init.zeros_(linear.bias)
    reader = slice(HEAD_DIM * (HEADS // 2), HEAD_DIM * (HEADS // 2) + AXES[0])
    for block in transformer.transformer_blocks:
        block.attn.to_q.bias[reader] = 2.0
        block.attn.to_k.bias[reader] = -2.0
