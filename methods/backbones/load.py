"""Load a backbone by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.backbones.info import get_backbone_info

if TYPE_CHECKING:
    from methods.backbones.stable_diffusion import StableDiffusion


def load_backbone(name: str, device: str = "cpu", dtype: str = "float32") -> StableDiffusion:
    """A backbone on a device; ``dtype`` of the UNet and text encoder: float32, float16, bfloat16.

    Raises :class:`data.errors.UserError` where :func:`get_backbone_info` does.
    """
    from methods.backbones.stable_diffusion import StableDiffusion

    return StableDiffusion.from_folder(get_backbone_info(name).path, device, dtype)
