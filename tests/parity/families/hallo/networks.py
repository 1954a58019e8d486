"""C1, C2: the reference pass, and one call of the denoising network in both branches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from methods.attention import control, record_output
from methods.backbones.hallo.denoising import Branch, Guide
from methods.backbones.hallo.portrait import Segment, guide
from methods.backbones.hallo.reference import reference_bank
from tests.parity.compare import Comparison, compare, equal
from tests.parity.families.hallo.common import frames_first, held, network, real, tolerance
from tests.parity.recording import Recording
from tests.parity.run import Case

REGIONS = ("full", "face", "lip")


def segment(recording: Recording) -> Segment:
    """What was given to the networks, as ours read it."""
    levels = sum(name.startswith("full_mask_") for name in recording.tensors)
    masks = [
        torch.stack([real(recording, f"{r}_mask_{level}") for r in REGIONS], dim=1)
        for level in range(levels)
    ]
    pictures = real(recording, "ref_latents")
    return Segment(
        pictures=pictures,
        order=tuple(range(len(pictures))),
        face=real(recording, "face_emb")[0],
        region=real(recording, "face_mask")[0],
        masks=masks,
        audio=real(recording, "audio_window")[0],
    )


def _reference_cases(recording: Recording) -> Iterator[Case]:
    net = network(recording)

    def tokens() -> list[Comparison]:
        face = real(recording, "face_emb")
        told = net.imageproj(torch.cat([face * 0, face]))
        return held(recording, {"encoder_hidden_states": told})

    def bank() -> list[Comparison]:
        pictures = real(recording, "ref_latents")
        told, order = real(recording, "encoder_hidden_states"), range(len(pictures))
        made = reference_bank(net.reference_unet, pictures, order, told)
        kept = {name for name in recording.tensors if name.startswith("bank.")}
        sites = equal(sorted(kept), sorted(f"bank.{site}" for site in made))
        return [
            sites,
            *held(recording, {f"bank.{site}": x.flatten(0, 1) for site, x in made.items()}),
        ]

    def output() -> list[Comparison]:
        pictures = real(recording, "ref_latents")
        told, rows = real(recording, "encoder_hidden_states"), 2 * len(pictures)
        shown = pictures.repeat(2, 1, 1, 1)
        out = net.reference_unet(shown, 0, told.repeat(rows // len(told), 1, 1)).sample
        return held(recording, {"ref_unet_out": out})

    def pairs() -> list[Comparison]:
        recorded = recording.manifest["pairs_reader_writer"]
        return [equal([reader for reader, _ in recorded], [writer for _, writer in recorded])]

    yield from (("tokens", tokens), ("bank", bank), ("output", output))
    if "pairs_reader_writer" in recording.manifest:
        yield "pairing by module path", pairs


def _denoising_cases(recording: Recording) -> Iterator[Case]:
    net = network(recording)

    @cache
    def read(bank: str, guided: bool) -> Guide:
        dtype = torch.float16 if bank == "bank16" else recording.dtype
        return guide(net, segment(recording), guided, dtype)

    def conditions() -> list[Comparison]:
        both, audio = read("bank32", True), real(recording, "audio_tokens")
        within = tolerance(recording, "bank32")
        place = recording.tensors["face_fea"]
        given = both.place[:, :, None].expand_as(place)
        tokens = recording.tensors["encoder_hidden_states"]
        return [
            compare(tokens, both.tokens, within),
            compare(torch.cat([audio * 0, audio]), both.audio, within),
            compare(place, given, within),
        ]

    def run(name: str) -> Tensor:
        """The output of that name: out_<branch>_<bank>[_ms2|_nocfg]."""
        _, branch, bank, *rest = name.split("_")
        given = read(bank, "nocfg" not in rest)
        scale = f"motion_scale_{rest[0]}" if rest and rest[0] != "nocfg" else "motion_scale"
        return _call(recording, net, given, recording.setting(scale), _branch(branch))

    def outputs(name: str) -> list[Comparison]:
        bank = name.split("_")[2]
        return held(recording, {name: frames_first(run(name))}, bank)

    def hidden() -> list[Comparison]:
        return list(_hidden(recording, net, read("bank32", True)))

    yield "conditions", conditions
    for name in sorted(recording.tensors):
        if name.startswith("out_"):
            yield name, lambda name=name: outputs(name)
    if any(name.startswith("h_bank32.") for name in recording.tensors):
        yield "hidden states", hidden


def _branch(name: str) -> Branch:
    return "released" if name == "official" else "evaluation"


def _call(
    recording: Recording,
    net: nn.Module,
    given: Guide,
    scale: tuple[float, float, float],
    branch: Branch,
) -> Tensor:
    latents = frames_first(real(recording, "latents")).repeat(len(given.tokens), 1, 1, 1, 1)
    timestep = int(recording.tensors["timestep"])
    read = replace(given, motion_scale=tuple(scale))
    return net.denoising_unet(latents, timestep, read, branch)


def _hidden(recording: Recording, net: nn.Module, given: Guide) -> Iterator[Comparison]:
    """Modules' outputs; a block's is that of the last of its modules that runs."""
    names = [n.removeprefix("h_bank32.") for n in recording.tensors if n.startswith("h_bank32.")]
    unet = net.denoising_unet
    sites = {name: _last(unet, name) for name in names}  # two names may stand for one module
    record: dict[str, Tensor] = {}
    hooks = {site: record_output(record, site) for site in sites.values()}
    with control(unet, hooks=hooks):
        _call(recording, net, given, recording.setting("motion_scale"), "released")
    for name in names:
        out = record[sites[name]]
        out = out[0] if isinstance(out, tuple) else out
        expected = recording.tensors[f"h_bank32.{name}"]
        clips = out if out.ndim == 5 else out.unflatten(0, (len(expected), -1))
        clips = frames_first(clips)[:, :, -expected.shape[2] :]
        yield compare(expected, clips, tolerance(recording, "bank32"))


def _last(unet: nn.Module, name: str) -> str:
    module = unet.get_submodule(name)
    if name == "mid_block":
        return "mid_block.resnets.1"
    if not hasattr(module, "resnets"):
        return name
    for sampler in ("downsamplers", "upsamplers"):
        if getattr(module, sampler, None):
            return f"{name}.{sampler}.0"
    kind = "motion_modules" if hasattr(module, "attentions") else "resnets"
    return f"{name}.{kind}.{len(module.resnets) - 1}"


KINDS = {"C1": _reference_cases, "C2": _denoising_cases}
