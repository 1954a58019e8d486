"""The embedded tokenizer: one token a word of the world, and nothing it cannot read."""

from pathlib import Path

import numpy as np
import pytest
from transformers import CLIPTokenizer

from data.world.grammar import caption
from data.world.sample import draw_scene
from models.tokenizer import MAX_LENGTH, NEGATIVE_PROMPTS, WORDS, build_tokenizer

MODELS = Path(__file__).parent.parent / "models"
TOKENIZER = build_tokenizer()


@pytest.mark.parametrize("word", sorted(set(WORDS)))
def test_every_word_is_one_token(word):
    assert TOKENIZER.tokenize(word) == [f"{word}</w>"]


def test_captions_and_released_negative_prompts_fit():
    captions = [caption(draw_scene(np.random.default_rng(k), objects=2)) for k in range(50)]
    for text in [*captions, *NEGATIVE_PROMPTS]:
        assert len(TOKENIZER(text).input_ids) <= MAX_LENGTH


@pytest.mark.parametrize("text", ["Zürich, 北京 & a rabbit!", "x" * 40, "", "42 é"])
def test_any_text_is_read_without_unknown_tokens(text):
    pieces = TOKENIZER.tokenize(text)
    assert TOKENIZER.unk_token not in pieces
    assert TOKENIZER.decode(TOKENIZER.convert_tokens_to_ids(pieces)).replace(" ", "") == (
        text.lower().replace(" ", "")
    )


def test_the_end_token_has_the_highest_id_where_clip_pools():
    ids = TOKENIZER("a red circle", padding="max_length").input_ids
    assert ids.index(max(ids)) == 4  # start, three words, end
    assert len(ids) == MAX_LENGTH


@pytest.mark.parametrize("folder", ["world-tiny/tokenizer", "world-clip"])
def test_the_committed_models_know_words_by_the_ids_it_gives(folder):
    """Otherwise a training that goes on from a checkpoint would mistake words for others."""
    committed = CLIPTokenizer.from_pretrained(MODELS / folder, local_files_only=True)
    assert committed.get_vocab() == TOKENIZER.get_vocab()


def test_it_survives_saving_and_loading(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    text = "a mosaic of an orange ring on night, unrealistic"
    assert CLIPTokenizer.from_pretrained(tmp_path)(text) == TOKENIZER(text)
