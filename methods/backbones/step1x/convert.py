"""Official checkpoints by their own key names: diffusers' names, and configurations from shapes.

The rules only rename, split or swap rows, so a converted model has the original's numbers; they
work on the meta device too. A key that no rule knows is an error, never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Size, Tensor

from data.errors import UserError

CONNECTOR = "connector."
CONNECTOR_HEAD_DIM = 128  # as released; the connector's weights do not show it

Split = Callable[[Tensor], tuple[Tensor, ...]]


def _whole(tensor: Tensor) -> tuple[Tensor, ...]:
    return (tensor,)


def _thirds(tensor: Tensor) -> tuple[Tensor, ...]:
    return tensor.chunk(3)


def _qkv_mlp(tensor: Tensor) -> tuple[Tensor, ...]:
    width = len(tensor) // 7  # q, k, v and four widths of the MLP
    return tensor.split([width, width, width, 4 * width])


def _scale_first(tensor: Tensor) -> tuple[Tensor, ...]:
    shift, scale = tensor.chunk(2)
    return (torch.cat([scale, shift]),)


_QKV = ("to_q", "to_k", "to_v")
_DOUBLE = r"double_blocks\.(\d+)\."
_SINGLE = r"single_blocks\.(\d+)\."
_REFINER = r"S\.individual_token_refiner\.blocks\.(\d+)\."
_BLOCK = r"transformer_blocks.\1."
_SINGLE_BLOCK = r"single_transformer_blocks.\1."
_REFINED = r"refiner.token_refiner.refiner_blocks.\1."

Rules = list[tuple[str, tuple[str, ...], Split]]

#: The original's module: the modules of ours that its rows become.
TRANSFORMER: Rules = [
    (r"img_in", ("x_embedder",), _whole),
    (r"txt_in", ("context_embedder",), _whole),
    (r"time_in\.in_layer", ("time_text_embed.timestep_embedder.linear_1",), _whole),
    (r"time_in\.out_layer", ("time_text_embed.timestep_embedder.linear_2",), _whole),
    (r"vector_in\.in_layer", ("time_text_embed.text_embedder.linear_1",), _whole),
    (r"vector_in\.out_layer", ("time_text_embed.text_embedder.linear_2",), _whole),
    (_DOUBLE + r"img_mod\.lin", (_BLOCK + "norm1.linear",), _whole),
    (_DOUBLE + r"txt_mod\.lin", (_BLOCK + "norm1_context.linear",), _whole),
    (_DOUBLE + r"img_attn\.qkv", tuple(f"{_BLOCK}attn.{x}" for x in _QKV), _thirds),
    (_DOUBLE + r"txt_attn\.qkv", tuple(f"{_BLOCK}attn.add_{x}_proj" for x in "qkv"), _thirds),
    (_DOUBLE + r"img_attn\.norm\.query_norm", (_BLOCK + "attn.norm_q",), _whole),
    (_DOUBLE + r"img_attn\.norm\.key_norm", (_BLOCK + "attn.norm_k",), _whole),
    (_DOUBLE + r"txt_attn\.norm\.query_norm", (_BLOCK + "attn.norm_added_q",), _whole),
    (_DOUBLE + r"txt_attn\.norm\.key_norm", (_BLOCK + "attn.norm_added_k",), _whole),
    (_DOUBLE + r"img_attn\.proj", (_BLOCK + "attn.to_out.0",), _whole),
    (_DOUBLE + r"txt_attn\.proj", (_BLOCK + "attn.to_add_out",), _whole),
    (_DOUBLE + r"img_mlp\.0", (_BLOCK + "ff.net.0.proj",), _whole),
    (_DOUBLE + r"img_mlp\.2", (_BLOCK + "ff.net.2",), _whole),
    (_DOUBLE + r"txt_mlp\.0", (_BLOCK + "ff_context.net.0.proj",), _whole),
    (_DOUBLE + r"txt_mlp\.2", (_BLOCK + "ff_context.net.2",), _whole),
    (_SINGLE + r"modulation\.lin", (_SINGLE_BLOCK + "norm.linear",), _whole),
    (
        _SINGLE + "linear1",
        (*(f"{_SINGLE_BLOCK}attn.{x}" for x in _QKV), _SINGLE_BLOCK + "proj_mlp"),
        _qkv_mlp,
    ),
    (_SINGLE + "linear2", (_SINGLE_BLOCK + "proj_out",), _whole),
    (_SINGLE + r"norm\.query_norm", (_SINGLE_BLOCK + "attn.norm_q",), _whole),
    (_SINGLE + r"norm\.key_norm", (_SINGLE_BLOCK + "attn.norm_k",), _whole),
    (r"final_layer\.linear", ("proj_out",), _whole),
    (r"final_layer\.adaLN_modulation\.1", ("norm_out.linear",), _scale_first),
]
_TIME_TEXT = "refiner.time_text_embed."
CONNECTOR_RULES: Rules = [
    (r"scale_factor", ("scale_factor",), _whole),
    (r"global_proj_out", ("global_proj_out",), _whole),
    (r"S\.input_embedder", ("refiner.proj_in",), _whole),
    (r"S\.t_embedder\.mlp\.0", (_TIME_TEXT + "timestep_embedder.linear_1",), _whole),
    (r"S\.t_embedder\.mlp\.2", (_TIME_TEXT + "timestep_embedder.linear_2",), _whole),
    (r"S\.c_embedder\.(linear_[12])", (_TIME_TEXT + r"text_embedder.\1",), _whole),
    (_REFINER + r"(norm[12])", (_REFINED + r"\2",), _whole),
    (_REFINER + "self_attn_qkv", tuple(f"{_REFINED}attn.{x}" for x in _QKV), _thirds),
    (_REFINER + "self_attn_proj", (_REFINED + "attn.to_out.0",), _whole),
    (_REFINER + r"mlp\.fc1", (_REFINED + "ff.net.0.proj",), _whole),
    (_REFINER + r"mlp\.fc2", (_REFINED + "ff.net.2",), _whole),
    (_REFINER + r"adaLN_modulation\.1", (_REFINED + "norm_out.linear",), _whole),
]


def convert(checkpoint: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State dicts of transformer and connector; :class:`UserError` for keys no rule knows."""
    transformer, connector, unknown = {}, {}, []
    for key, tensor in checkpoint.items():
        mine = key.startswith(CONNECTOR)
        rules, into = (CONNECTOR_RULES, connector) if mine else (TRANSFORMER, transformer)
        found = dict(_converted(key.removeprefix(CONNECTOR), tensor, rules))
        into.update(found)
        unknown += [] if found else [key]
    if unknown:
        shown = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        raise UserError(
            f"{len(unknown)} keys are none of Step1X-Edit v1.0: {shown}. Later versions differ; "
            "use step1x-edit-i1258.safetensors."
        )
    return transformer, connector


def _converted(key: str, tensor: Tensor, rules: Rules) -> Iterator[tuple[str, Tensor]]:
    module, _, leaf = key.rpartition(".")
    module, leaf = (module, "." + leaf) if module else (leaf, "")  # a bare parameter
    for pattern, names, split in rules:
        if re.fullmatch(pattern, module):
            for name, part in zip(names, split(tensor), strict=True):
                yield re.sub(pattern, name, module) + leaf.replace("scale", "weight"), part
            return


def transformer_config(shapes: Mapping[str, Size]) -> dict[str, Any]:
    """Arguments of ``FluxTransformer2DModel`` for a checkpoint with the original's names.

    Rotary dimensions, which weights do not show, are as released: 1/8 of a head's width and 7/16
    twice.
    """
    head = shapes["double_blocks.0.img_attn.norm.query_norm.scale"][0]
    width, channels = shapes["img_in.weight"]
    return {
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0],
        "num_layers": _count(shapes, "double_blocks."),
        "num_single_layers": _count(shapes, "single_blocks."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": False,
        "axes_dims_rope": (head // 8, head * 7 // 16, head * 7 // 16),
    }


def connector_config(shapes: Mapping[str, Size]) -> dict[str, Any]:
    """Arguments of ``Step1XConnector`` for a checkpoint with the original's names.

    The width of a head, which weights do not show, is as released.
    """
    width, condition = shapes[f"{CONNECTOR}S.input_embedder.weight"]
    return {
        "condition_dim": condition,
        "num_attention_heads": width // CONNECTOR_HEAD_DIM,
        "attention_head_dim": CONNECTOR_HEAD_DIM,
        "num_layers": _count(shapes, f"{CONNECTOR}S.individual_token_refiner.blocks."),
        "pooled_projection_dim": shapes[f"{CONNECTOR}global_proj_out.weight"][0],
    }


def _count(shapes: Mapping[str, Size], prefix: str) -> int:
    """How many numbered blocks there are under a prefix."""
    return len({key.removeprefix(prefix).split(".")[0] for key in shapes if key.startswith(prefix)})


def convert_vae(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of :func:`vae_config`'s ``AutoencoderKL``, by diffusers' own rules."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    return convert_ldm_vae_checkpoint(dict(checkpoint), vae_config(_shapes(checkpoint)))


def vae_config(shapes: Mapping[str, Size]) -> dict[str, Any]:
    """Arguments of ``AutoencoderKL`` for Flux's autoencoder with the original's names.

    Scale and shift, which weights do not show, are the released ones.
    """
    levels = _count(shapes, "encoder.down.")
    widths = [shapes[f"encoder.down.{k}.block.0.conv1.weight"][0] for k in range(levels)]
    return {
        "block_out_channels": tuple(widths),
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "layers_per_block": _count(shapes, "encoder.down.0.block."),
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
    }


def _shapes(checkpoint: Mapping[str, Tensor]) -> dict[str, Size]:
    return {key: tensor.shape for key, tensor in checkpoint.items()}
