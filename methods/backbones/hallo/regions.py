"""Where the audio acts: boxes of face and lips to soft masks at every level of the network.

Boxes are (x0, y0, x1, y1) in pixels of the picture, as its landmarks span them.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, resize

Box = tuple[float, float, float, float]

FACE_GROWTH, LIP_GROWTH = 1.2, 2.0
FACE_BLUR, LIP_BLUR = 51, 31  # of a picture of SIDE pixels
SIDE = 64


def grown(box: Box, height: int, width: int, ratio: float) -> tuple[int, int, int, int]:
    """A box grown about its middle and moved back into the picture.

    As released: one that outgrows the picture on both sides comes out with a negative start.
    """
    (x0, x1), (y0, y1) = (
        _grown_side(first, last, size, ratio)
        for first, last, size in ((box[0], box[2], width), (box[1], box[3], height))
    )
    return x0, y0, x1, y1


def _grown_side(first: float, last: float, size: int, ratio: float) -> tuple[int, int]:
    middle, half = (first + last) // 2, (last - first) * ratio // 2
    first, last = middle - half, middle + half
    if first < 0:
        first, last = 0, last - first
    if last > size:
        first, last = first - (last - size), size
    return round(first), round(last)


def box_mask(box: tuple[int, int, int, int], height: int, width: int) -> np.ndarray:
    """(H, W) uint8, 255 from a box's start to before its end, as slices count."""
    x0, y0, x1, y1 = box
    mask = np.zeros((height, width), np.uint8)
    mask[y0:y1, x0:x1] = 255
    return mask


def grown_mask(box: Box, height: int, width: int, ratio: float) -> np.ndarray:
    """(H, W) uint8, 255 within the grown box.

    A negative start counts as 0. The released program slices from the picture's end there, and
    loses nearly all of the mask of a face that fills the picture.
    """
    x0, y0, x1, y1 = grown(box, height, width, ratio)
    return box_mask((max(0, x0), max(0, y0), x1, y1), height, width)


def blurred(mask: np.ndarray, kernel: int) -> np.ndarray:
    """(64, 64) uint8: shrunk, blurred and stretched to 0..255."""
    small = cv2.GaussianBlur(cv2.resize(mask, (SIDE, SIDE)), (kernel, kernel), 0)
    return cv2.normalize(small, None, 0, 255, cv2.NORM_MINMAX)


def separated(face: np.ndarray, lips: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Full picture but the face, face but the lips, lips: (64, 64) uint8 of two box masks."""
    soft, lip = blurred(face, FACE_BLUR), blurred(lips, LIP_BLUR)
    return ((1 - soft / 255) * 255).astype(np.uint8), cv2.subtract(soft, lip), lip


def pyramid(regions: tuple[np.ndarray, ...], side: int, levels: int) -> list[Tensor]:
    """Per level (1, regions, s * s) in 0..1 for square maps of ``side``, then half of it, …"""
    images = [Image.fromarray(region) for region in regions]
    return [
        torch.stack([_shrunk(image, side >> level).flatten() for image in images])[None]
        for level in range(levels)
    ]


def _shrunk(image: Image.Image, side: int) -> Tensor:
    return pil_to_tensor(resize(image, [side, side]))[0].float() / 255


def masks(face: Box, lips: Box, height: int, width: int, side: int, levels: int) -> list[Tensor]:
    """What :class:`methods.backbones.hallo.net.Portrait` takes as masks; latents of ``side``."""
    boxes = (
        grown_mask(face, height, width, FACE_GROWTH),
        grown_mask(lips, height, width, LIP_GROWTH),
    )
    return pyramid(separated(*boxes), side, levels)


def face_region(face: np.ndarray, side: int) -> Tensor:
    """(3, side, side) in 0..1 of the face's box mask: what the face locator sees."""
    return _shrunk(Image.fromarray(face), side).expand(3, -1, -1).contiguous()


def pixels(picture: np.ndarray, side: int) -> Tensor:
    """(3, side, side) in -1..1 of an (H, W, 3) uint8 picture, whatever its aspect."""
    resized = resize(Image.fromarray(picture), [side, side])
    return pil_to_tensor(resized).float() / 127.5 - 1
