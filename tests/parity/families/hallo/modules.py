"""B: single modules, with their own recorded weights or those of the small networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from methods.attention import control, record_output
from methods.backbones.hallo.audio import AudioBlock, AudioModule
from methods.backbones.hallo.motion import MotionModule
from methods.backbones.hallo.projections import AudioProjection, FaceLocator, ImageProjection
from tests.parity.compare import Comparison
from tests.parity.families.hallo.common import frames_first, held, loaded, real, weights
from tests.parity.recording import Recording
from tests.parity.run import Case

Results = dict[str, Tensor]


def _case(run: Callable[[Recording], Results]) -> Callable[[Recording], Iterator[Case]]:
    def compared(recording: Recording) -> list[Comparison]:
        return held(recording, run(recording))

    return lambda recording: iter([("module", lambda: compared(recording))])


def _per_frame(network: Callable[..., Tensor], clips: Tensor, *rest: Any) -> Tensor:
    """A two-dimensional network on (b, c, f, h, w), as ours see frames: folded into the batch."""
    folded = frames_first(clips).flatten(0, 1)
    return frames_first(network(folded, *rest).unflatten(0, (len(clips), -1)))


def _inflated(recording: Recording) -> Results:
    (out, inner), eps = recording.tensors["conv1.weight"].shape[:2], recording.setting("eps")
    first = loaded(nn.Conv2d(inner, out, 3, padding=1), recording, "conv1.")
    norm = loaded(nn.GroupNorm(recording.setting("groups"), out, eps), recording, "gn.")
    width = len(recording.tensors["conv2.weight"])
    second = loaded(nn.Conv2d(out, width, 3, stride=2, padding=1), recording, "conv2.")
    a = _per_frame(first, real(recording, "x"))
    b = _per_frame(norm, a)
    return {"conv1_out": a, "gn_out": b, "conv2_out": _per_frame(second, b)}


def _resnet(recording: Recording) -> Results:
    out, inner = recording.tensors["res.conv1.weight"].shape[:2]
    temb = recording.tensors["temb"].shape[1]
    groups, eps = recording.setting("groups"), recording.setting("eps")
    block = ResnetBlock2D(
        in_channels=inner, out_channels=out, temb_channels=temb, groups=groups, eps=eps
    )
    block = loaded(block, recording, "res.")
    up = loaded(Upsample2D(out, use_conv=True, out_channels=out), recording, "up.")
    down = loaded(
        Downsample2D(out, use_conv=True, out_channels=out, padding=1, name="op"), recording, "down."
    )
    x = real(recording, "x")
    embedding = real(recording, "temb").repeat_interleave(x.shape[2], dim=0)
    hidden = _per_frame(block, x, embedding)
    larger = _per_frame(up, hidden)
    sized = tuple(recording.tensors["up_sized_out"].shape[-2:])
    return {
        "res_out": hidden,
        "up_out": larger,
        "down_out": _per_frame(down, larger),
        "up_sized_out": _per_frame(up, hidden, sized),
    }


def _motion(recording: Recording) -> Results:
    x = real(recording, "x")
    length = recording.tensors["pe"].shape[1]
    heads, groups = recording.setting("heads"), recording.setting("groups")
    module = MotionModule(x.shape[1], heads, groups, length)
    pe = module.temporal_transformer.transformer_blocks[0].attention_blocks[0].pos_encoder.pe
    block = "temporal_transformer.transformer_blocks.0"
    sites = {
        "norm_out": "temporal_transformer.norm",
        "attn0_out": f"{block}.attention_blocks.0",
        "attn1_out": f"{block}.attention_blocks.1",
        "block_out": block,
    }
    made = {"pe": pe.clone()}  # ours, before the recorded one takes its place
    record: Results = {}
    module = loaded(module, recording, "w.")
    hooks = {site: record_output(record, name) for name, site in sites.items()}
    with control(module, hooks=hooks):
        y = frames_first(module(frames_first(x)))
    tokens = {name: record[name] for name in sites if name != "norm_out"}
    pixels = x.shape[3] * x.shape[4]
    by_frame = {
        name: t.unflatten(0, (-1, pixels)).transpose(1, 2).flatten(0, 1)
        for name, t in tokens.items()
    }
    return {"y": y, "norm_out": record["norm_out"], **by_frame, **made}


def _masks(recording: Recording, level: int) -> Tensor:
    """(b f, 3, hw); every level is looked at."""
    return torch.stack(
        [real(recording, f"{region}_mask_{level}") for region in ("full", "face", "lip")], dim=1
    )


def _audio_block(recording: Recording) -> Results:
    x, audio = real(recording, "x"), real(recording, "audio")
    block = AudioBlock(x.shape[2], recording.setting("heads"), audio.shape[2])
    block = loaded(block, recording, "w.")
    levels = sum(name.startswith("full_mask_") for name in recording.tensors)
    masks = [_masks(recording, level) for level in range(levels)][recording.setting("depth_level")]
    return {
        "y_no_scale": block(x, audio, masks, (1, 1, 1)),
        "y_scaled": block(x, audio, masks, recording.setting("motion_scale")),
    }


def _audio_module(recording: Recording) -> Results:
    x, audio = real(recording, "x"), real(recording, "audio")
    module = AudioModule(
        x.shape[1],
        recording.setting("inner_dim"),
        recording.setting("heads"),
        recording.setting("groups"),
        audio.shape[-1],
    )
    module = loaded(module, recording, "w.")
    masks = _masks(recording, recording.setting("depth"))
    scale = recording.setting("motion_scale")
    return {"y": _per_frame(module, x, audio.flatten(0, 1), masks, scale)}


def _part(recording: Recording, network: nn.Module, prefix: str) -> nn.Module:
    """A module with its weights of the small networks."""
    found = weights(recording).items()
    network.load_state_dict({n.removeprefix(prefix): x for n, x in found if n.startswith(prefix)})
    return network.to(recording.dtype).eval().requires_grad_(False)


def _image_projection(recording: Recording) -> Results:
    x, (_, tokens, width) = real(recording, "x"), recording.tensors["y"].shape
    projection = _part(recording, ImageProjection(x.shape[1], width, tokens), "imageproj.")
    return {"y": projection(x), "y_uncond": projection(x * 0)}


def _audio_projection(recording: Recording) -> Results:
    x, (*_, tokens, width) = real(recording, "x"), recording.tensors["y"].shape
    hidden = len(weights(recording)["audioproj.proj1.bias"])
    projection = AudioProjection(x.shape[2:].numel(), hidden, width, tokens)
    return {"y": _part(recording, projection, "audioproj.")(x)}


def _face_locator(recording: Recording) -> Results:
    found = weights(recording)
    convs = sum(n.startswith("face_locator.blocks.") and n.endswith("bias") for n in found)
    names = ["conv_in", *(f"blocks.{i}" for i in range(1, convs, 2))]
    channels = tuple(len(found[f"face_locator.{name}.bias"]) for name in names)
    locator = FaceLocator(recording.tensors["y"].shape[1], channels)
    locator = _part(recording, locator, "face_locator.")
    return {"y": _per_frame(locator, real(recording, "x"))}


KINDS = {
    "B1": _case(_inflated),
    "B1b": _case(_resnet),
    "B2": _case(_motion),
    "B3": _case(_audio_block),
    "B3b": _case(_audio_module),
    "B4": _case(_image_projection),
    "B5": _case(_audio_projection),
    "B6": _case(_face_locator),
}
