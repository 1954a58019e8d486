"""What the embedded instruction editor is taught, and what it starts from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.errors import UserError
from data.world.analyser import analyse
from data.world.instruct import PHRASINGS, WORDS, all_instructions, shows_held_out
from data.world.render import render_truth
from data.world.scene import Object, Scene
from methods.backbones.step1x.world_encoder import WorldConditionEncoder, glances
from models.step1x_editor import AXES, Editor
from models.train_step1x import SHARES, chances, examples, times
from models.training import generator
from models.world_triples import answers, outline_angle, world_triples

# What training sees.


@pytest.fixture(scope="module")
def triples():
    return world_triples(12, seed=5)


def test_pictures_of_a_triple_differ_and_share_what_is_not_asked(triples):
    for kind, texts in enumerate(PHRASINGS):
        pairs = triples.pairs[triples.kinds == kind]
        source, target = (triples.frames[pairs[:, side]].astype(int) for side in (0, 1))
        differs = (source != target).any(axis=-1)
        assert differs.any(axis=(1, 2)).all(), texts
        if texts != "ground":  # but for a star's tips all change is where the loss looks closely
            far = ~np.kron(triples.discs[pairs[:, 0]], np.ones((8, 8), bool))
            assert (differs & far).sum() < 0.02 * differs.sum()


@pytest.mark.parametrize("shape", ["circle", "ring", "square", "triangle", "star"])
def test_an_outline_turned_back_to_its_least_angle_is_the_same_outline(shape):
    rng = np.random.default_rng(0)
    for _ in range(20):
        thing = Object("red", shape, 32, 32, 12, angle=rng.uniform(-9, 9), spin=rng.uniform(-1, 1))
        least = replace(thing, angle=outline_angle(thing, 3.0), spin=0.0)
        assert abs(least.angle) <= np.pi / 3 + 1e-9
        masks = [
            render_truth(Scene("snow", (replace(each, angle=angle, spin=0.0),), n_frames=1)).masks
            for each, angle in ((thing, thing.angle + 3 * thing.spin), (least, least.angle))
        ]
        assert (masks[0] != masks[1]).sum() <= 2  # pixels that an edge runs through


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        (("square", 20), ("star", 20), True),
        (("square", 110), ("star", 20), True),  # a square at 110 degrees looks as one at 20
        (("square", 110), ("star", 110), False),
        (("triangle", 50), ("square", -40), True),  # the same outline as at 50
        (("circle", 30), ("star", 30), False),  # not to be seen
        (("circle", 30), ("star", 72), True),  # upright
        (("star", 30), ("ring", 0), True),
    ],
)
def test_a_new_shape_is_turned_as_the_source_shows(source, target, told):
    pair = [
        Object("red", shape, 32, 32, 12, angle=np.deg2rad(angle))
        for shape, angle in (source, target)
    ]
    assert answers(*pair, t=0.0) == told


def test_equal_pictures_told_the_same_have_equal_targets(triples):
    """So that nothing is left to guess: one answer to each picture and sentence."""
    asked = {}
    for (source, target), texts in zip(triples.pairs, triples.instructions, strict=True):
        key = (triples.frames[source].tobytes(), texts[0])
        assert (asked.setdefault(key, triples.frames[target].tobytes())) == (
            triples.frames[target].tobytes()
        )


def test_training_pictures_show_no_held_out_combination(triples):
    """A few pictures, read back from pixels."""
    shown = [analyse(frame) for frame in triples.frames[::32]]
    scenes = [
        Scene(r.ground, tuple(Object(o.colour, o.shape, 0, 0, 1) for o in r.objects)) for r in shown
    ]
    assert not any(shows_held_out(scene) for scene in scenes)


def test_every_instruction_of_training_is_of_the_grammar(triples):
    assert set(triples.instructions.ravel()) <= set(all_instructions())


def test_new_shapes_with_corners_are_drawn_most(triples):
    """Triples are drawn as often as the recipe says, however many there are of each."""
    chance = chances(triples)
    torch.testing.assert_close(chance.sum(), torch.tensor(1.0))
    new = np.array([str(texts[0]).split()[-1] for texts in triples.instructions])
    cornered = torch.from_numpy(np.isin(new, ["square", "triangle", "star"]))
    assert chance[cornered].sum().item() == pytest.approx(SHARES["cornered"], abs=1e-4)


def test_times_cover_the_flow_and_lean_towards_noise():
    drawn = torch.cat([times(16, generator(1, k)) for k in range(200)])
    assert 0 < drawn.min() < 0.1 and 0.95 < drawn.max() < 1
    assert 0.55 < drawn.median() < 0.7


# The encoder and the start of training.


def test_a_row_depends_on_its_own_picture_and_words_to_the_bit():
    torch.manual_seed(0)
    encoder = WorldConditionEncoder(WORDS).eval()
    pictures = [np.random.default_rng(k).integers(0, 256, (64, 64, 3), np.uint8) for k in range(2)]
    texts = ["make the circle red", ""]
    together, mask = encoder.encode(pictures, texts)
    alone = [encoder.encode([p], [t])[0] for p, t in zip(pictures, texts, strict=True)]
    assert torch.equal(together, torch.cat(alone))
    assert mask.sum(1).tolist() == [4 + 4, 4]
    assert not together[mask == 0].any() and together[mask == 1].abs().min() > 0


def test_the_last_word_has_its_place_whatever_comes_before():
    """What is new is the last word of every phrasing: only what leads up to it may differ."""
    torch.manual_seed(0)
    encoder, editor = WorldConditionEncoder(WORDS).eval(), Editor().encoder.eval()
    picture = np.zeros((64, 64, 3), np.uint8)
    short, long = "make the circle red", "turn the blue circle red"
    for each, alike in ((encoder, False), (editor, True)):
        a, b = (each.encode([picture], [text])[0][0] for text in (short, long))
        # Words are mixed by attention, which training starts without.
        assert torch.equal(a[4 + 3], b[4 + 4]) == alike
        assert a[4:8].norm(dim=1).argmax() == 3 and b[4:9].norm(dim=1).argmax() == 4


def test_a_glance_is_the_mean_of_each_four_by_four_pixels():
    picture = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    small = picture.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    patch = small[8:, :8].transpose(2, 0, 1).ravel() / 127.5 - 1  # the third: below, left
    np.testing.assert_allclose(glances([picture])[0, 2].numpy(), patch, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [("make the circle magenta", "the word 'magenta'"), ("the " * 11, "at most 10")],
)
def test_what_the_encoder_cannot_read_is_told(text, message):
    with pytest.raises(UserError, match=message):
        WorldConditionEncoder(WORDS).word_ids(text)


def test_half_of_the_heads_start_by_looking_in_place(triples):
    """Before any training a token's attention is strongest at its own place, in both pictures."""
    torch.manual_seed(0)
    editor = Editor().eval()
    seen = {}

    def watch(module, args, kwargs):
        seen["hidden"], seen["rotary"] = kwargs["hidden_states"], kwargs["image_rotary_emb"]

    block = editor.network.transformer.single_transformer_blocks[0]
    block.attn.register_forward_pre_hook(watch, with_kwargs=True)
    data = examples(triples, torch.randn(len(triples.frames), 4, 16, 16), editor.encoder)
    with torch.no_grad():
        editor(data.tokens[:1], data.tokens[1:2], data.glances[:1], data.ids[0, :1], torch.ones(1))
        q, k = (
            norm(proj(seen["hidden"]).unflatten(-1, (-1, sum(AXES))))
            for proj, norm in (
                (block.attn.to_q, block.attn.norm_q),
                (block.attn.to_k, block.attn.norm_k),
            )
        )
    from diffusers.models.embeddings import apply_rotary_emb

    q, k = (apply_rotary_emb(x, seen["rotary"], sequence_dim=1) for x in (q, k))
    weights = torch.einsum("bqhd,bkhd->bhqk", q, k).div(sum(AXES) ** 0.5).softmax(-1)[0, :2]
    text, n = weights.shape[-1] - 128, 64
    own = torch.arange(n)
    at_home = weights[:, text + own, text + own] + weights[:, text + own, text + n + own]
    assert at_home.mean() > 0.3  # of 142 tokens, two
