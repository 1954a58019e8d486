"""The real size with weights drawn at load: for costs, where no weights are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from PIL import Image
from torch import Tensor, nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLModel, Qwen2VLImageProcessor

from methods.backbones.step1x.connector import Step1XConnector
from methods.backbones.step1x.folder import Parts
from methods.backbones.step1x.network import Step1XNetwork
from methods.backbones.step1x.qwen import (
    DROPPED,
    MAX_PIXELS,
    MIN_PIXELS,
    QwenConditionEncoder,
    fitted,
)

SEED = 0
CLOSING = 5  # tokens after the instruction: the turn's end and the answer's beginning

VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 16,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
}
ENCODER: dict[str, Any] = {  # Qwen2.5-VL-7B-Instruct's
    "text_config": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "max_window_layers": 28,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [16, 24, 24],
        },
    },
    "vision_config": {"hidden_size": 1280},
    "image_token_id": 151655,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
}


def made() -> dict[str, nn.Module]:
    """The four networks at the real size, where torch makes things just now."""
    return {
        "transformer": FluxTransformer2DModel(),  # its defaults are the released sizes
        "connector": Step1XConnector(),
        "encoder": Qwen2_5_VLModel(Qwen2_5_VLConfig(**ENCODER)),
        "vae": AutoencoderKL(**VAE),
    }


def random_parts(dtype: torch.dtype, device: torch.device) -> Parts:
    """Everything on the device, initialised as the libraries do; the autoencoder in float32."""
    with drawing(dtype, device):
        parts = made()
    network = Step1XNetwork(parts["transformer"], parts["connector"])
    encoder = QwenConditionEncoder(parts["encoder"], BytesMessage())
    return Parts(network, parts["vae"].float(), encoder)


@contextmanager
def drawing(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Whatever is made inside has a type and a place, and numbers of our own seed."""
    before = torch.get_default_dtype()
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(SEED)
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


class BytesMessage:
    """As many tokens as the released message has or more: the instruction's are its bytes."""

    def __init__(self) -> None:
        size = {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS}
        self.images = Qwen2VLImageProcessor(size=size)

    def __call__(self, image: Image.Image, instruction: str) -> tuple[dict[str, Tensor], list[int]]:
        """Pixels and ids; see :class:`QwenConditionEncoder`."""
        pixels = self.images(images=[fitted(image)], return_tensors="pt")
        tokens = int(pixels["image_grid_thw"].prod()) // 4
        start, image_token, end = (
            ENCODER[f"{name}_token_id"] for name in ("vision_start", "image", "vision_end")
        )
        around = [1] * (DROPPED - 1), [1] * CLOSING
        ids = [*around[0], start, *[image_token] * tokens, end, *instruction.encode(), *around[1]]
        return {name: pixels[name] for name in ("pixel_values", "image_grid_thw")}, ids
