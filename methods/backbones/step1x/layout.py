"""The files of a Step1X-Edit folder, known without torch: what is looked for and digested.

Two layouts are read: a diffusers-like folder, which is also written, and the released files as they
are on the hub with the vision-language model's folder beside them.
"""

from __future__ import annotations

from typing import Any

SCHEDULER = {  # of diffusers' FlowMatchEulerDiscreteScheduler
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}
INDEX = "model_index.json"
PARTS = ("transformer", "connector", "vae", "condition_encoder")
SCHEDULE = "scheduler/scheduler_config.json"
CONFIGS = (INDEX, *(f"{part}/config.json" for part in PARTS), SCHEDULE)

OFFICIAL_DIT = "step1x-edit-i1258.safetensors"
OFFICIAL_VAE = "vae.safetensors"
OFFICIAL_ENCODER = "Qwen2.5-VL-7B-Instruct"
OFFICIAL_SIZE = 512  # the released program's --size_level


def index(encoder: str, size_level: int) -> dict[str, Any]:
    """``model_index.json`` of a folder with that class of condition encoder.

    ``size_level``: images are worked at about this many pixels squared unless a setting says else.
    """
    return {
        "_class_name": "Step1XEdit",
        "size_level": size_level,
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "connector": ["methods", "Step1XConnector"],
        "vae": ["diffusers", "AutoencoderKL"],
        "condition_encoder": ["methods", encoder],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    }
