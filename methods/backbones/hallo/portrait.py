"""What one segment of a talking portrait is made from, as the denoising network reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from methods.backbones.hallo.denoising import Guide
from methods.backbones.hallo.net import HalloNet
from methods.backbones.hallo.reference import reference_bank, shown


@dataclass(frozen=True)
class Segment:
    """F frames to be made of one face.

    ``pictures``: (P, 4, h, w) latents; ``order``: which is the reference picture and which the
    motion frames; ``face``: (face_dim,); ``region``: (3, 8 h, 8 w); ``masks``: per level
    (1, 3, s * s); ``audio``: (F, window, layers, dim).
    """

    pictures: Tensor
    order: tuple[int, ...]
    face: Tensor
    region: Tensor
    masks: Sequence[Tensor]
    audio: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> Segment:
        """The same where and as the networks compute."""
        names = ("pictures", "face", "region", "audio")
        moved = {name: getattr(self, name).to(device=device, dtype=dtype) for name in names}
        masks = [level.to(device=device, dtype=dtype) for level in self.masks]
        return replace(self, masks=masks, **moved)


def guide(net: HalloNet, segment: Segment, guided: bool, bank_dtype: torch.dtype) -> Guide:
    """Everything but latents and motion scale; with ``guided`` the unconditional half first.

    That half has the tokens of a zero face, zero audio tokens, no place and no reference picture.
    ``bank_dtype``: the released program rounds banks to float16 whatever it computes in.
    """
    zero = torch.zeros_like(segment.face)
    faces = torch.stack([zero, segment.face] if guided else [segment.face])
    tokens = net.imageproj(faces)
    bank = reference_bank(net.reference_unet, segment.pictures, segment.order, tokens)
    audio = net.audioproj(segment.audio[None])
    place = net.face_locator(segment.region[None])
    if guided:
        audio = torch.cat([torch.zeros_like(audio), audio])
        place = torch.cat([torch.zeros_like(place), place])
    return Guide(
        tokens=tokens,
        audio=audio,
        masks=[level[None] for level in segment.masks],
        shown=shown({site: kept.to(bank_dtype) for site, kept in bank.items()}, len(segment.audio)),
        place=place,
        referenced=(False, True) if guided else (True,),
    )
