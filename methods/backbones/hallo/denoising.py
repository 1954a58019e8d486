"""The denoising network: Stable Diffusion's UNet over frames, with audio and motion modules.

The released program runs the network in training mode with checkpointing switched on, and its
blocks branch on that. So there are two networks in one: ``released`` is what users have seen;
``evaluation`` is what the same weights compute after ``eval()``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import Attention
from torch import Tensor, nn

from methods.attention import attend, split_heads
from methods.backbones.hallo.audio import AudioModule
from methods.backbones.hallo.config import HalloConfig
from methods.backbones.hallo.motion import MotionModule
from methods.backbones.hallo.reference import Shown

Branch = Literal["released", "evaluation"]
UNSCALED = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Guide:
    """What the denoising network reads besides its latents; B clips of F frames each.

    ``tokens``: (B, T, D) face tokens. ``audio``: (B, F, A, E) audio tokens. ``masks``: per level,
    finest first, (B or 1, F or 1, 3, h * w) shares of full picture, face and lips. ``shown``: what
    each transformer block is shown of the reference network, or None. ``place``: (B, C, h, w) of
    the face locator, or None. ``referenced``: which clips see the reference picture; all of them
    see motion frames. ``motion_scale``: weights of the regions.
    """

    tokens: Tensor
    audio: Tensor
    masks: Sequence[Tensor]
    shown: Mapping[str, Shown] | None
    place: Tensor | None = None
    referenced: Sequence[bool] = (False, True)
    motion_scale: tuple[float, float, float] = UNSCALED


class ReferenceAttention:
    """Self-attention of clips to their own frame and to the reference, where they may see it."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        reference: Tensor | None = None,
        referenced: Sequence[bool] = (),
        **_: Any,
    ) -> Tensor:
        """(B * F, S, C); ``reference``: (B, K, S, C). With encoder states plain cross-attention."""
        if encoder_hidden_states is not None or reference is None or not any(referenced):
            seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
            return _attend(attn, hidden_states, seen)
        clips = hidden_states.unflatten(0, (len(referenced), -1))
        return torch.cat(
            [
                _attend(attn, clip, _with(clip, pictures) if seen else clip)
                for clip, pictures, seen in zip(clips, reference, referenced, strict=True)
            ]
        )


def _with(clip: Tensor, pictures: Tensor) -> Tensor:
    """Tokens (F, S, C) of a clip, followed by those of pictures (K, S, C), dealt out in turn."""
    turns = torch.arange(len(clip), device=clip.device) % len(pictures)
    return torch.cat([clip, pictures.to(clip.dtype)[turns]], dim=1)


def _attend(attn: Attention, asking: Tensor, seen: Tensor) -> Tensor:
    projected = attn.to_q(asking), attn.to_k(seen), attn.to_v(seen)
    return attend(attn, *(split_heads(attn, x) for x in projected))


class DenoisingUNet(UNet2DConditionModel):
    """Per layer: residual block, spatial transformer, audio module, motion module."""

    def __init__(self, config: HalloConfig) -> None:
        super().__init__(**config.unet())
        for path, width, inner in _layers(self, config):
            block = self.get_submodule(path)
            heads, groups = config.attention_heads, config.norm_num_groups
            if inner is not None:
                audio = AudioModule(width, inner, heads, groups, config.audio_dim)
                _append(block, "audio_modules", audio)
            motion = MotionModule(width, config.motion_heads, groups, config.motion_length)
            _append(block, "motion_modules", motion)
        for name, module in self.named_modules():
            if ".attentions." in name and isinstance(module, Attention):
                module.set_processor(ReferenceAttention())

    def forward(
        self, sample: Tensor, timestep: Tensor | int, guide: Guide, branch: Branch = "released"
    ) -> Tensor:
        """Predict velocity; (B, F, 4, h, w) latents, one timestep for all or (B,) of them."""
        clips, frames = sample.shape[:2]
        steps = torch.as_tensor(timestep, device=sample.device).expand(clips)
        embedding = self.time_embedding(self.get_time_embed(sample, steps))
        run = _Run(guide, frames, embedding.repeat_interleave(frames, dim=0), branch)
        hidden = self.conv_in(sample.flatten(0, 1))
        if guide.place is not None:
            hidden = hidden + guide.place.repeat_interleave(frames, dim=0).to(hidden.dtype)
        skips = [hidden]
        for level, block in enumerate(self.down_blocks):
            for j in range(len(block.resnets)):
                hidden = run.layer(block, f"down_blocks.{level}", j, level, hidden)
                skips.append(hidden)
            for downsampler in block.downsamplers or ():
                hidden = downsampler(hidden)
                skips.append(hidden)
        hidden = self.mid_block.resnets[0](hidden, run.embedding)
        hidden = run.middle(self.mid_block, len(self.down_blocks) - 1, hidden)
        hidden = self.mid_block.resnets[1](hidden, run.embedding)
        for i, block in enumerate(self.up_blocks):
            level = len(self.up_blocks) - 1 - i
            for j in range(len(block.resnets)):
                hidden = torch.cat([hidden, skips.pop()], dim=1)
                hidden = run.layer(block, f"up_blocks.{i}", j, level, hidden)
            for upsampler in block.upsamplers or ():
                hidden = upsampler(hidden, skips[-1].shape[2:])
        out = self.conv_out(self.conv_act(self.conv_norm_out(hidden)))
        return out.unflatten(0, (clips, frames))


def _append(block: nn.Module, name: str, module: nn.Module) -> None:
    if not hasattr(block, name):
        block.add_module(name, nn.ModuleList())
    getattr(block, name).append(module)


def _layers(network: DenoisingUNet, config: HalloConfig) -> list[tuple[str, int, int | None]]:
    """(block, width, inner width of the audio module or None) of every layer, in order.

    The inner width follows the released constructor, which takes it from a block's input.
    """
    widths = config.block_out_channels
    mirrored = (*reversed(widths), widths[0])
    layers: list[tuple[str, int, int | None]] = []
    for i, block in enumerate(network.down_blocks):
        heard = hasattr(block, "attentions")
        for j in range(len(block.resnets)):
            inner = widths[max(0, i - 1)] if j == 0 else widths[i]
            layers.append((f"down_blocks.{i}", widths[i], inner if heard else None))
    layers.append(("mid_block", widths[-1], widths[-1]))
    for i, block in enumerate(network.up_blocks):
        inner = mirrored[i + 1] if hasattr(block, "attentions") else None
        layers += [(f"up_blocks.{i}", mirrored[i], inner)] * len(block.resnets)
    return layers


@dataclass(frozen=True)
class _Run:
    """One pass through the network: what stays the same from layer to layer."""

    guide: Guide
    frames: int
    embedding: Tensor  # (B * F, E) of the timesteps
    branch: Branch

    def layer(self, block: nn.Module, path: str, j: int, level: int, hidden: Tensor) -> Tensor:
        """Layer ``j`` of a down or up block."""
        hidden = block.resnets[j](hidden, self.embedding)
        released = self.branch == "released"
        if not hasattr(block, "attentions"):
            return hidden if released else self._move(block.motion_modules[j], hidden, None)
        site = f"{path}.attentions.{j}.transformer_blocks.0"
        scale = self.guide.motion_scale if released else UNSCALED
        hidden = self._see(block.attentions[j], site, hidden)
        hidden = self._hear(block.audio_modules[j], level, scale, hidden)
        return self._move(block.motion_modules[j], hidden, site if released else None)

    def middle(self, block: nn.Module, level: int, hidden: Tensor) -> Tensor:
        """The middle's attention; it uses motion frames and scales in both branches."""
        site = "mid_block.attentions.0.transformer_blocks.0"
        hidden = self._see(block.attentions[0], site, hidden)
        hidden = self._hear(block.audio_modules[0], level, self.guide.motion_scale, hidden)
        return self._move(block.motion_modules[0], hidden, site)

    def _see(self, attention: nn.Module, site: str, hidden: Tensor) -> Tensor:
        """The spatial transformer, with the reference picture and the face tokens."""
        shown = self.guide.shown
        reference = None if shown is None else shown[site].pictures
        extra = {"reference": reference, "referenced": self.guide.referenced}
        tokens = self.guide.tokens.repeat_interleave(self.frames, dim=0)
        return attention(hidden, tokens, cross_attention_kwargs=extra, return_dict=False)[0]

    def _hear(
        self, module: nn.Module, level: int, scale: Sequence[float], hidden: Tensor
    ) -> Tensor:
        """The audio module, with the masks of its level."""
        audio = self.guide.audio.flatten(0, 1)
        masks = self.guide.masks[level].expand(*self.guide.audio.shape[:2], -1, -1)
        return module(hidden, audio, masks.flatten(0, 1), scale)

    def _move(self, module: nn.Module, hidden: Tensor, site: str | None) -> Tensor:
        """The motion module, the bank's motion frames in front, which are then cut off."""
        clip = hidden.unflatten(0, (-1, self.frames))
        if site is None or self.guide.shown is None:
            return module(clip).flatten(0, 1)
        before = self.guide.shown[site].motion.transpose(2, 3)  # (B, n, C, S)
        before = before.unflatten(-1, hidden.shape[2:]).to(hidden.dtype)
        moved = module(torch.cat([before, clip], dim=1))[:, before.shape[1] :]
        return moved.flatten(0, 1)
