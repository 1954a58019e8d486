"""Hallo's networks: against diffusers' own, the checkpoint's names, and what must not matter."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection as DiffusersImageProjection
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

from methods.backbones.hallo.audio import AudioBlock
from methods.backbones.hallo.config import HalloConfig
from methods.backbones.hallo.denoising import Guide
from methods.backbones.hallo.folder import empty_net
from methods.backbones.hallo.motion import MotionModule
from methods.backbones.hallo.net import HalloNet, Portrait
from methods.backbones.hallo.portrait import Segment
from methods.backbones.hallo.portrait import guide as prepared
from methods.backbones.hallo.projections import ImageProjection
from methods.backbones.hallo.reference import reference_bank, shown
from methods.backbones.hallo.rows import dealt_rows, distinct_rows
from tests.hallo_miniature import CONFIG, make_net

KEYS = Path(__file__).resolve().parents[2] / "shared" / "golden" / "hallo" / "keys"
FRAMES, SIDE = 3, 8


@pytest.fixture(scope="module")
def net() -> HalloNet:
    return make_net()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def masks(value: float = 0.7) -> list[torch.Tensor]:
    return [torch.full((1, 1, 3, (SIDE >> level) ** 2), value) for level in range(4)]


def guide(net: HalloNet, conditions: int = 2, **changes) -> Guide:
    """What the denoising network reads, all of it noise."""
    order = (0, 1, 2)
    tokens = noise(conditions, CONFIG.face_tokens, CONFIG.cross_attention_dim)
    bank = reference_bank(net.reference_unet, noise(3, 4, SIDE, SIDE, seed=1), order, tokens)
    given = {
        "tokens": tokens,
        "audio": noise(conditions, FRAMES, CONFIG.audio_tokens, CONFIG.audio_dim, seed=2),
        "masks": masks(),
        "shown": shown(bank, FRAMES),
        "referenced": (False, True)[-conditions:],
    }
    return Guide(**{**given, **changes})


def said(net: HalloNet, given: Guide, branch: str = "released") -> torch.Tensor:
    sample = noise(1, FRAMES, 4, SIDE, SIDE, seed=3).repeat(len(given.tokens), 1, 1, 1, 1)
    return net.denoising_unet(sample, 500, given, branch)


@pytest.mark.skipif(not KEYS.is_dir(), reason="the recorded key lists are not on this machine")
def test_the_official_checkpoint_s_keys_are_ours_name_by_name_and_shape_by_shape() -> None:
    net = empty_net(HalloConfig())
    ours = {name: list(tensor.shape) for name, tensor in net.state_dict().items()}
    assert ours == json.loads((KEYS / "net_pth.json").read_text())
    for part in ("reference_unet", "denoising_unet", "face_locator", "imageproj", "audioproj"):
        own = {n: list(x.shape) for n, x in getattr(net, part).state_dict().items()}
        assert own == json.loads((KEYS / f"{part}.json").read_text()), part


def test_at_its_real_size_a_segment_of_512_pixels_passes_through() -> None:
    """Shapes alone: on the meta device nothing is computed and no memory taken."""
    config = HalloConfig()
    net, meta = empty_net(config).half(), {"device": "meta", "dtype": torch.float16}
    segment = Segment(
        pictures=torch.empty(3, 4, 64, 64, **meta),
        order=(0, 1, 2),
        face=torch.empty(512, **meta),
        region=torch.empty(3, 512, 512, **meta),
        masks=[torch.empty(1, 3, (64 >> level) ** 2, **meta) for level in range(4)],
        audio=torch.empty(16, 5, 12, 768, **meta),
    )
    read = prepared(net, segment, guided=True, bank_dtype=torch.float16)
    assert read.tokens.shape == (2, 4, 768) and read.audio.shape == (2, 16, 32, 768)
    assert len(read.shown) == 16
    out = net.denoising_unet(torch.empty(2, 16, 4, 64, 64, **meta), 999, read)
    assert out.shape == (2, 16, 4, 64, 64)


def test_without_audio_motion_and_reference_it_is_diffusers_network_frame_by_frame() -> None:
    net = make_net()
    unet = net.denoising_unet
    plain = UNet2DConditionModel(**CONFIG.unet()).eval()
    ours = unet.state_dict()
    plain.load_state_dict({name: ours[name] for name in plain.state_dict()})
    for name, parameter in unet.named_parameters():
        if ("audio_modules" in name or "motion_modules" in name) and ".proj_out." in name:
            parameter.zero_()
    given = guide(net, shown=None)
    out = said(net, given)
    sample = noise(1, FRAMES, 4, SIDE, SIDE, seed=3)[0]
    for condition, tokens in enumerate(given.tokens):
        expected = plain(sample, 500, tokens.expand(FRAMES, -1, -1)).sample
        assert torch.allclose(out[condition], expected, atol=1e-5)


def test_a_motion_module_is_animatediff_s_with_a_norm_per_frame() -> None:
    class PerFrame(torch.nn.GroupNorm):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return torch.stack([super(PerFrame, self).forward(x) for x in clips.unbind(2)], 2)

    module = MotionModule(16, heads=2, groups=4, length=9)
    torch.nn.init.normal_(module.temporal_transformer.proj_out.weight)
    theirs = AnimateDiffTransformer3D(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=16,
        norm_num_groups=4,
        positional_embeddings="sinusoidal",
        num_positional_embeddings=9,
    )
    theirs.norm = PerFrame(4, 16, eps=1e-6)
    names = {
        "temporal_transformer.": "",
        "attention_blocks.0.pos_encoder": "pos_embed",
        "attention_blocks.0": "attn1",
        "attention_blocks.1": "attn2",
        "norms.0": "norm1",
        "norms.1": "norm2",
        "ff_norm": "norm3",
    }
    renamed = {}
    for name, tensor in module.state_dict().items():
        if "attention_blocks.1.pos_encoder" not in name:
            for ours, their in names.items():
                name = name.replace(ours, their)
            renamed[name] = tensor
    theirs.load_state_dict(renamed)
    clips = noise(2, 5, 16, 3, 3)
    expected = theirs(clips.flatten(0, 1), num_frames=5).unflatten(0, (2, 5))
    assert torch.allclose(module(clips), expected, atol=1e-5)


def test_the_image_projection_is_diffusers_by_another_name() -> None:
    ours, theirs = ImageProjection(20, 12, 4), DiffusersImageProjection(20, 12, 4)
    state = ours.state_dict().items()
    theirs.load_state_dict({name.replace("proj.", "image_embeds."): x for name, x in state})
    face = noise(2, 20)
    assert torch.allclose(ours(face), theirs(face), atol=1e-6)


def test_pixels_outside_a_region_do_not_hear() -> None:
    """And those inside hear through that region's weights only."""
    block = AudioBlock(8, heads=2, audio_dim=6)
    for name, parameter in block.named_parameters():
        if name.startswith("zero_conv"):
            torch.nn.init.normal_(parameter)
    hidden, region = noise(1, 5, 8), torch.zeros(1, 3, 5)
    region[:, 2, :2] = 1  # lips: the first two pixels
    one, other = (block(hidden, noise(1, 4, 6, seed=s), region, (1, 1, 1)) for s in (1, 2))
    assert torch.equal(one[:, 2:], other[:, 2:])
    assert not torch.isclose(one[:, :2], other[:, :2]).any()
    with torch.no_grad():
        block.attn2_0.to_v.weight.zero_()
        block.attn2_1.to_v.weight.zero_()
    assert torch.equal(one, block(hidden, noise(1, 4, 6, seed=1), region, (1, 1, 1)))


def test_a_motion_scale_of_zero_removes_the_sound(net: HalloNet) -> None:
    silent = (0.0, 0.0, 0.0)
    one, other = (
        said(net, guide(net, motion_scale=silent, audio=noise(2, FRAMES, 3, 10, seed=seed)))
        for seed in (5, 6)
    )
    assert torch.equal(one, other)
    assert not torch.equal(one, said(net, guide(net)))


def test_the_branches_differ_in_motion_frames_scales_and_the_coarsest_level(net: HalloNet) -> None:
    assert not torch.allclose(said(net, guide(net)), said(net, guide(net), "evaluation"))
    other = make_net()
    for name, parameter in other.denoising_unet.named_parameters():
        if name.startswith(("down_blocks.3.motion", "up_blocks.0.motion")):
            torch.nn.init.normal_(parameter)
    assert torch.equal(said(net, guide(net)), said(other, guide(net)))
    assert not torch.equal(
        said(net, guide(net), "evaluation"), said(other, guide(net), "evaluation")
    )


def test_the_unconditional_half_sees_motion_frames_but_no_reference_picture(net: HalloNet) -> None:
    given = guide(net)
    blank = {site: type(x)(x.pictures * 0, x.motion) for site, x in given.shown.items()}
    still = {site: type(x)(x.pictures, x.motion * 0) for site, x in given.shown.items()}
    usual = said(net, given)
    without = said(net, guide(net, shown=blank))
    assert torch.equal(usual[0], without[0]) and not torch.equal(usual[1], without[1])
    assert not torch.equal(usual[0], said(net, guide(net, shown=still))[0])


def test_frames_do_not_see_each_other_but_through_motion_modules(net: HalloNet) -> None:
    """A change of one frame's sound reaches the others; with motion modules at zero it does not."""
    given = guide(net, conditions=1)
    audio = given.audio.clone()
    audio[:, 0] += 1
    other = guide(net, conditions=1, audio=audio)
    assert not torch.equal(said(net, given)[:, 1:], said(net, other)[:, 1:])
    still = make_net()
    for name, parameter in still.denoising_unet.named_parameters():
        if "motion_modules" in name and ".proj_out." in name:
            parameter.zero_()
    one, two = said(still, given), said(still, other)
    assert torch.equal(one[:, 1:], two[:, 1:]) and not torch.equal(one[:, 0], two[:, 0])


def test_rows_deal_tokens_out_alternately_and_equal_ones_come_once() -> None:
    assert dealt_rows((0, 1, 2), 2) == [(0, 0), (1, 1), (2, 0), (0, 1), (1, 0), (2, 1)]
    assert distinct_rows((0, 0, 0), 2) == [(0, 0), (0, 1)]
    assert dealt_rows((0, 1), 1) == [(0, 0), (1, 0)]


def test_a_bank_of_distinct_rows_is_that_of_all_rows(net: HalloNet) -> None:
    pictures = noise(1, 4, SIDE, SIDE)
    tokens = noise(2, CONFIG.face_tokens, CONFIG.cross_attention_dim)
    bank = reference_bank(net.reference_unet, pictures, (0, 0, 0), tokens)
    whole = net.reference_unet.bank(pictures.repeat(6, 1, 1, 1), tokens.repeat(3, 1, 1))
    assert bank.keys() == whole.keys()
    for site, kept in bank.items():
        assert torch.allclose(kept.flatten(0, 1), whole[site], atol=1e-5)


@pytest.mark.parametrize("frames", [3, 4])
def test_every_other_frame_sees_the_picture_as_the_other_condition_encoded_it(frames: int) -> None:
    """All frames of both conditions in one row, which takes the two pictures in turn."""
    bank = {"site": noise(2, 3, 5, 4)}
    seen = shown(bank, frames)["site"]
    row = [condition % 2 for condition in range(2 * frames)]
    for condition in (0, 1):
        for frame in range(frames):
            picture = seen.pictures[condition, frame % 2]
            assert torch.equal(picture, bank["site"][row[condition * frames + frame], 0])
    assert torch.equal(seen.motion, bank["site"][:, 1:])


def test_training_reaches_every_weight_that_the_released_branch_uses() -> None:
    net = make_net().requires_grad_(True)
    portrait = Portrait(
        pictures=noise(3, 4, SIDE, SIDE),
        face=noise(CONFIG.face_dim),
        region=torch.ones(3, 8 * SIDE, 8 * SIDE),
        masks=[level[0] for level in masks()],
        audio=noise(FRAMES, 5, 1, 64),
    )
    out = net(
        noise(2, FRAMES, 4, SIDE, SIDE),
        torch.tensor([10, 900]),
        [portrait] * 2,
        heard=[True, False],
        referenced=[True, True],
    )
    out.square().mean().backward()
    # The middle has one cell here: which key its query meets is no choice, and rounding alone, on
    # some machines, gives it a gradient.
    no_choice = re.compile(r"mid_block\..*attn1\.to_[qk]\.")
    unused = {
        re.match(r".*?(attentions|motion_modules)\.\d", name)[0]
        for name, parameter in net.named_parameters()
        if (parameter.grad is None or not parameter.grad.any()) and not no_choice.search(name)
    }
    assert unused == {
        "denoising_unet.down_blocks.3.motion_modules.0",
        "denoising_unet.up_blocks.0.motion_modules.0",
        "denoising_unet.up_blocks.0.motion_modules.1",
        "reference_unet.up_blocks.3.attentions.1",  # what follows the last states that are read
    }


def test_training_gives_what_guidance_s_halves_are_given(net: HalloNet) -> None:
    """One clip without its conditions is the unconditional half, but for dealt-out tokens."""
    pictures = noise(1, 4, SIDE, SIDE)
    portrait = Portrait(
        pictures=pictures,
        face=noise(CONFIG.face_dim),
        region=torch.ones(3, 8 * SIDE, 8 * SIDE),
        masks=[level[0] for level in masks()],
        audio=noise(FRAMES, 5, 1, 64),
    )
    sample = noise(1, FRAMES, 4, SIDE, SIDE, seed=3)
    out = net(sample, torch.tensor([500]), [portrait], heard=[False], referenced=[False])
    tokens = net.imageproj(torch.zeros(1, CONFIG.face_dim))
    bank = reference_bank(net.reference_unet, pictures, (0,), tokens)
    silent = torch.zeros(1, FRAMES, CONFIG.audio_tokens, CONFIG.audio_dim)
    given = Guide(tokens, silent, masks(), shown(bank, FRAMES), referenced=(False,))
    assert torch.allclose(out, net.denoising_unet(sample, 500, given), atol=1e-5)
