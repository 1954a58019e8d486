"""TokenFlow against its plain rendering: time of passes and steps, memory, evaluations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from bench.figures import Figure, agree, peak_bytes, seconds
from bench.networks import Size, random_backbone
from bench.plain import Cache, PlainTokenFlow, extended_attention, propagate
from methods.attention import PNP_ATTENTION, ExtendedAttention, Projection, RecordedAttention
from methods.backbones.stable_diffusion import StableDiffusion
from methods.correspondence import MatchedAttention, Matches, PropagatedAttention
from methods.propagation import edit_keyframes, read_keyframes
from methods.routes import released_route
from methods.sampling import Branches, predict_branches
from methods.tokenflow import TokenFlow
from methods.tokenflow_step import tokenflow_step

KEYFRAMES = 8  # that attend to each other in the keyframe pass
FRAMES, BATCH = 40, 8  # of a whole step: the released defaults
TIMESTEP = 501


@dataclass(frozen=True)
class Bench:
    """A network and one step's inputs; a keyframe is the first frame of its batch."""

    backbone: StableDiffusion
    branches: Branches
    keyframes: list[int]

    @classmethod
    def of(cls, size: Size, device: str, n_frames: int, batch_size: int) -> Bench:
        """Random latents of all frames; calls hold a batch of frames in three branches."""
        rng = torch.Generator().manual_seed(1)
        shape = (n_frames, 4, size.side, size.side)
        source, latents = (torch.randn(shape, generator=rng) for _ in range(2))
        text = torch.randn((3, 77, size.text), generator=rng)
        backbone = random_backbone(size, device, 3 * batch_size)
        branches = Branches(source, latents, text, TIMESTEP)
        return cls(backbone, branches, list(range(0, n_frames, batch_size)))

    def our_keyframes(self) -> Tensor:
        """Noise of source and edit of the keyframes."""
        seen = self.branches[self.keyframes]
        source = read_keyframes(self.backbone, seen)
        noise, _ = edit_keyframes(
            self.backbone, seen, source, injected=PNP_ATTENTION, features=True
        )
        return torch.cat([source.features.noise, *noise])

    def plain(self) -> PlainTokenFlow:
        """The plain rendering with this network."""
        where = {"device": self.backbone.device, "dtype": self.backbone.unet.dtype}
        return PlainTokenFlow(self.backbone.unet, self.branches.embeddings.to(**where), TIMESTEP)

    def plain_keyframes(self, flow: PlainTokenFlow) -> Tensor:
        """The same noise by the published loops."""
        seen = self.branches[self.keyframes]
        device = self.backbone.device
        return flow.keyframes(seen.source.to(device), seen.latents.to(device)).cpu()

    def plain_calls(self, frames: Branches) -> None:
        """The network alone on all three branches of some frames, in calls like ours."""
        three = (frames.source, frames.latents, frames.latents)
        predict_branches(self.backbone, three[:1], frames.embeddings[:1], TIMESTEP)
        predict_branches(self.backbone, three[1:], frames.embeddings[1:], TIMESTEP)


def keyframe_pass(size: Size, device: str) -> Iterator[Figure]:
    """Eight keyframes attending to each other, against the published loops and the bare network."""
    bench = Bench.of(size, device, KEYFRAMES, 1)
    flow = bench.plain()
    name = f"keyframes/{size.name}"
    yield agree(name, bench.our_keyframes(), bench.plain_keyframes(flow))
    ours, plain, bare = seconds(
        bench.our_keyframes,
        lambda: bench.plain_keyframes(bench.plain()),
        lambda: bench.plain_calls(bench.branches[bench.keyframes]),
        repeats=size.repeats,
    )
    yield Figure(f"{name}: published loops over ours", plain / ours, at_least=2.5)
    yield Figure(f"{name}: published loops over bare network", plain / bare)
    yield Figure(f"{name}: ours over bare network", ours / bare)


def whole_step(size: Size, device: str) -> Iterator[Figure]:
    """A step of 40 frames with a keyframe in eight: keyframes, propagation, DDIM."""
    bench = Bench.of(size, device, FRAMES, BATCH)
    backbone, branches, name = bench.backbone, bench.branches, f"step/{size.name}"
    plan = TokenFlow().plan(TokenFlow.Setting(batch_size=BATCH), len(branches.latents))[0]
    plan = replace(plan, timestep=TIMESTEP, previous=TIMESTEP - 20)

    def ours() -> Tensor:
        return tokenflow_step(backbone, branches, bench.keyframes, plan)

    def plain() -> Tensor:
        flow, noise, device = bench.plain(), [], backbone.device
        bench.plain_keyframes(flow)
        for index in range(len(bench.keyframes)):
            part = branches[index * BATCH : (index + 1) * BATCH]
            out = flow.batch(index, part.source.to(device), part.latents.to(device))
            _, uncond, cond = out.float().cpu().chunk(3)
            noise.append(uncond + plan.guidance_scale * (cond - uncond))
        alpha, to = backbone.alpha(plan.timestep), backbone.alpha(plan.previous)
        clean = (branches.latents - (1 - alpha) ** 0.5 * torch.cat(noise)) / alpha**0.5
        return to**0.5 * clean + (1 - to) ** 0.5 * torch.cat(noise)

    def bare() -> None:
        bench.plain_calls(branches[bench.keyframes])
        for index in range(len(bench.keyframes)):
            bench.plain_calls(branches[index * BATCH : (index + 1) * BATCH])

    yield agree(name, ours(), plain())
    mine, theirs, network = seconds(ours, plain, bare, repeats=size.repeats)
    yield Figure(f"{name}: ours over bare network", mine / network, at_most=1.05)
    yield Figure(f"{name}: published loops over ours", theirs / mine)


def memory(size: Size, device: str) -> Iterator[Figure]:
    """Attention and matching of the finest level, apart from the network around them."""
    channels, length = size.channels[0], size.side**2
    rng = torch.Generator().manual_seed(2)
    attn = Attention(channels, heads=size.heads, dim_head=channels // size.heads)
    attn = attn.to(device).requires_grad_(False)
    tokens = torch.randn((3 * KEYFRAMES, length, channels), generator=rng).to(device)
    frames = torch.randn((KEYFRAMES, length, channels), generator=rng).to(device)

    def our_attention() -> tuple[Tensor, Tensor]:
        record: dict[str, Projection] = {}
        source = RecordedAttention("site", record)(attn, tokens[:KEYFRAMES])
        return source, ExtendedAttention(source=record["site"])(attn, tokens[KEYFRAMES:])

    outputs = extended_attention(attn, tokens, inject=True)
    kept = Cache(*(x.unflatten(0, (3, -1)) for x in (tokens, outputs)))
    way = released_route(range(KEYFRAMES, 2 * KEYFRAMES), KEYFRAMES)
    record = {"site": tokens[:KEYFRAMES]}, {"site": outputs[:KEYFRAMES]}

    def our_matching() -> tuple[Tensor, Tensor]:
        matches: Matches = {}
        source = MatchedAttention("site", *record, way, matches)(attn, frames)
        edited = PropagatedAttention("site", {"site": outputs[KEYFRAMES:]}, way, matches)
        return source, edited(attn, frames)

    name = f"memory/{size.name}"
    for what, ours, plain in (
        ("attention", our_attention, lambda: extended_attention(attn, tokens, inject=True)),
        ("matching", our_matching, lambda: propagate(kept, frames, 1).flatten(0, 1)),
    ):
        yield agree(f"{name}: {what}", torch.cat(ours()), plain())
        share = peak_bytes(ours) / peak_bytes(plain)
        yield Figure(f"{name}: {what}, ours over published", share, at_most=0.5)


def evaluations(device: str) -> Iterator[Figure]:
    """Network evaluations of a default run end to end: 40 frames, 50 steps, 8 frames a keyframe.

    The original inverts in 500 steps and makes a 500-step reconstruction for a preview.
    """
    frames, method = 40, TokenFlow()
    published = 2 * 500 * frames + 50 * 3 * (frames // 8 + frames)
    for name, preset, most in (("default", {}, 0.55), ("fast", method.presets["fast"], 0.2)):
        setting = method.Setting(**preset)
        spec = method.inversion(setting, "")
        ours = spec.steps * frames + sum(p.evaluations for p in method.plan(setting, frames))
        note = f"{ours:,} of {published:,}"
        yield Figure(f"evaluations: {name} over published", ours / published, "", None, most, note)
