"""Attention modules of a Stable-Diffusion-shaped network by level, and the size of their maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

LARGEST_MAP = 32**2  # queries; larger maps are neither kept nor edited, as released
Size = tuple[int, int]


def map_sizes(network: nn.Module, height: int, width: int) -> dict[str, Size]:
    """Height and width of every attention module's queries, for latents of a height and width.

    In the order of the network's calls within its down, middle and up part.
    """
    levels = len(network.config.block_out_channels)
    sizes = [(height, width)]
    for _ in range(levels - 1):
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))  # strided convolutions round up
    found = {}
    for name, _ in network.named_modules():
        if name.endswith((".attn1", ".attn2")):
            part, index = name.split(".")[:2]
            level = {"down_blocks": int, "up_blocks": lambda i: levels - 1 - int(i)}.get(
                part, lambda _: levels - 1
            )(index)
            found[name] = sizes[level]
    return found


def kept_sites(sizes: dict[str, Size]) -> list[str]:
    """Modules whose maps are small enough to be edited."""
    return [site for site, (h, w) in sizes.items() if h * w <= LARGEST_MAP]


def mask_sites(sizes: dict[str, Size], mask_size: int) -> tuple[list[str], Size]:
    """Cross-attentions whose maps make masks, and those maps' size.

    All of one level's in the down and up part: the largest with sides up to ``mask_size``, else
    the smallest there is. In Stable Diffusion with 16 that is the level of 16x16 maps at 512x512.
    """
    cross = {
        site: size
        for site, size in sizes.items()
        if site.endswith(".attn2") and not site.startswith("mid_block")
    }
    small = [size for size in cross.values() if max(size) <= mask_size]
    chosen = max(small) if small else min(cross.values())
    return [site for site, size in cross.items() if size == chosen], chosen
