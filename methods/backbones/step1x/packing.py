"""Latents as tokens of 2x2 patches, where the tokens stand, and the size an image is worked at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from data.errors import UserError
from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

PATCH = 2  # latent pixels along a side of a token


def pack(latents: Tensor) -> Tensor:
    """(B, C, h, w) latents to (B, h/2 * w/2, 4 C) tokens, row by row; features are (c, y, x)."""
    b, c, h, w = latents.shape
    patches = latents.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * PATCH**2)


def unpack(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, rows * columns, 4 C) tokens to (B, C, 2 rows, 2 columns) latents."""
    rows, columns = grid
    patches = tokens.reshape(len(tokens), rows, columns, -1, PATCH, PATCH)
    latents = patches.permute(0, 3, 1, 4, 2, 5)
    return latents.reshape(len(tokens), -1, rows * PATCH, columns * PATCH)


def text_ids(length: int) -> Tensor:
    """(L, 3) zeros: text has no place."""
    return torch.zeros(length, 3)


def image_ids(grid: tuple[int, int]) -> Tensor:
    """(2 * rows * columns, 3) float32: (0, row, column) of the target's, then the reference's.

    A reference token has exactly the position of its target token.
    """
    rows, columns = grid
    ids = torch.zeros(rows, columns, 3)
    ids[..., 1] = torch.arange(rows)[:, None]
    ids[..., 2] = torch.arange(columns)[None]
    return ids.reshape(-1, 3).repeat(2, 1)


def working_size(width: int, height: int, size_level: int, multiple: int = 16) -> tuple[int, int]:
    """(width, height) of about ``size_level`` squared pixels in the image's proportions.

    Both are multiples of ``multiple`` (8 of the autoencoder times 2 of the patches), rounded down
    after the longer was rounded up. :class:`data.errors.UserError` for an image so narrow that
    nothing is left of a side.
    """
    ratio = width / height
    if width > height:
        wide = math.ceil(math.sqrt(size_level * size_level * ratio))
        high = math.ceil(wide / ratio)
    else:
        high = math.ceil(math.sqrt(size_level * size_level / ratio))
        wide = math.ceil(high * ratio)
    wide, high = wide // multiple * multiple, high // multiple * multiple
    if not wide or not high:
        raise UserError(
            f"an image of {width}x{height} pixels cannot be worked at size {size_level}: its "
            f"shorter side would have fewer than {multiple} pixels; use a larger size or crop it."
        )
    return wide, high
