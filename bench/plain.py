"""TokenFlow as its paper and released program describe it, written down plainly.

For comparison alone: python loops over heads and (beyond 12 keyframes) frames, keys and values
repeated for every frame, the whole table of similarities, all three branches of everything kept.
Geyer et al., ICLR 2024; the layout of calls is that of ``batched_denoise_step``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from methods.attention import PNP_ATTENTION, PNP_FEATURES, control, self_attention_sites

BRANCHES = 3
MANY = 12  # with more keyframes than this the published loop goes frame by frame


def extended_attention(attn: Attention, tokens: Tensor, inject: bool) -> Tensor:
    """(3 n, S, C) to the same: the source's frames by themselves, others across all n frames."""
    n, length = len(tokens) // BRANCHES, tokens.shape[1]
    q, k, v = attn.to_q(tokens), attn.to_k(tokens), attn.to_v(tokens)
    if inject:
        q[n : 2 * n] = q[2 * n :] = q[:n]
        k[n : 2 * n] = k[2 * n :] = k[:n]
    rows = [k[:n], v[:n]]
    for branch in (1, 2):
        part = slice(branch * n, (branch + 1) * n)
        rows += [x[part].reshape(1, n * length, -1).repeat(n, 1, 1) for x in (k, v)]
    outputs = []
    for branch in range(BRANCHES):
        query = _heads(attn, q[branch * n : (branch + 1) * n])
        key, value = (_heads(attn, x) for x in rows[2 * branch : 2 * branch + 2])
        per_head = []
        for head in range(attn.heads):
            size = n if n <= MANY else 1
            split = (x[:, head].split(size) for x in (query, key, value))
            per_head.append(torch.cat([_attend(attn, *some) for some in zip(*split, strict=True)]))
        outputs.append(torch.cat(per_head, dim=-1))
    return attn.to_out[0](torch.cat(outputs))


def _heads(attn: Attention, tokens: Tensor) -> Tensor:
    return tokens.unflatten(-1, (attn.heads, -1)).transpose(1, 2)


def _attend(attn: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = torch.bmm(query, key.transpose(1, 2)) * attn.scale
    return torch.bmm(scores.softmax(dim=-1), value)


@dataclass
class Cache:
    """What the keyframe pass leaves in one block: all three branches of tokens and outputs."""

    tokens: Tensor  # (3, K, S, C)
    outputs: Tensor  # (3, K, S, C)


@dataclass
class KeyframeLoop:
    """The keyframe pass in one block."""

    site: str
    inject: bool
    cache: dict[str, Cache]

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        output = extended_attention(attn, hidden_states, self.inject)
        stacked = [x.unflatten(0, (BRANCHES, -1)).clone() for x in (hidden_states, output)]
        self.cache[self.site] = Cache(*stacked)
        return output


@dataclass
class Propagation:
    """The pass over one batch of frames in one block: match the source, gather, blend."""

    site: str
    batch: int
    cache: Mapping[str, Cache]

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        kept, frames = self.cache[self.site], hidden_states.unflatten(0, (BRANCHES, -1))
        return propagate(kept, frames[0], self.batch).flatten(0, 1)


def propagate(kept: Cache, source: Tensor, batch: int) -> Tensor:
    """(n, S, C) source tokens of a batch's frames to (3, n, S, C) outputs of all branches."""
    n, length = source.shape[:2]
    which = [batch] if batch == 0 else [batch, batch - 1]
    one = source.flatten(0, 1)
    two = kept.tokens[0][which].flatten(0, 1)
    one, two = (x / x.norm(dim=-1, keepdim=True) for x in (one, two))
    table = (one @ two.T).view(-1, len(which), length)
    found = []
    for j, keyframe in enumerate(which):
        index = table[:, j].argmax(dim=-1)
        per_branch = [kept.outputs[branch, keyframe][index] for branch in range(BRANCHES)]
        found.append(torch.stack(per_branch).unflatten(1, (n, length)))
    if batch == 0:
        return found[0]
    blended = []
    for j in range(n):
        frame, own, previous = batch * n + j, batch * n + n // 2, (batch - 1) * n + n // 2
        d_own, d_previous = abs(frame - own), abs(frame - previous)
        weight = torch.tensor(d_previous / (d_own + d_previous)).sigmoid()
        blended.append(weight * found[0][:, j] + (1 - weight) * found[1][:, j])
    return torch.stack(blended, dim=1)


@dataclass
class PlainTokenFlow:
    """The passes of one step on a UNet; ``text``: (3, L, C) of source, negative and target."""

    unet: nn.Module
    text: Tensor
    timestep: int
    injected: Collection[str] = PNP_ATTENTION
    features: bool = True
    cache: dict[str, Cache] = field(default_factory=dict)

    def keyframes(self, source: Tensor, latents: Tensor) -> Tensor:
        """Noise of K keyframes in three branches, (3 K, 4, h, w)."""
        sites = self_attention_sites(self.unet)
        loops = {s: KeyframeLoop(s, s in self.injected, self.cache) for s in sites}
        return self._call(loops, source, latents)

    def batch(self, index: int, source: Tensor, latents: Tensor) -> Tensor:
        """Noise of one batch of frames in three branches."""
        passes = {site: Propagation(site, index, self.cache) for site in self.cache}
        return self._call(passes, source, latents)

    def _call(self, processors: Mapping[str, Any], source: Tensor, latents: Tensor) -> Tensor:
        hooks = {PNP_FEATURES: _inject_first} if self.features else {}
        text = self.text.repeat_interleave(len(source), dim=0)
        with control(self.unet, processors, hooks), torch.inference_mode():
            return self.unet(torch.cat([source, latents, latents]), self.timestep, text).sample


def _inject_first(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    n = len(output) // BRANCHES
    output = output.clone()
    output[n : 2 * n] = output[2 * n :] = output[:n]
    return output
