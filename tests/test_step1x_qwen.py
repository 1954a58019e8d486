"""Qwen2.5-VL as a condition encoder, with a tiny model and a tokenizer of bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from methods.backbones.step1x.encoder import load_encoder
from methods.backbones.step1x.qwen import (
    PREAMBLE,
    QwenConditionEncoder,
    ReleasedMessage,
    fitted,
)
from methods.backbones.step1x.random_parts import BytesMessage
from tests.miniature import byte_alphabet

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
#: The published template's way with one user's turn.
TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "{% if add_vision_id %}Picture 1: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def processor() -> Qwen2_5_VLProcessor:
    letters = byte_alphabet()
    vocab = {word: index for index, word in enumerate((*letters, *SPECIAL, *VISION))}
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[], extra_special_tokens=[*SPECIAL[1:], *VISION])
    size = {"shortest_edge": 4 * 28 * 28, "longest_edge": 4 * 28 * 28}
    return Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(size=size), tokenizer, Qwen2VLVideoProcessor(), TEMPLATE
    )


@pytest.fixture(scope="module")
def model(processor) -> Qwen2_5_VLForConditionalGeneration:
    ids = {n: processor.tokenizer.convert_tokens_to_ids(f"<|{n}|>") for n in ("image_pad",)}
    starts = processor.tokenizer.convert_tokens_to_ids(list(VISION[:2]))
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(processor.tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [2, 3, 3],
            },
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [0],
        },
        image_token_id=ids["image_pad"],
        vision_start_token_id=starts[0],
        vision_end_token_id=starts[1],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Qwen2_5_VLForConditionalGeneration(config).eval()


@pytest.fixture(scope="module")
def encoder(model, processor) -> QwenConditionEncoder:
    """All up to the image is dropped; here it is one token for each of its bytes."""
    ids = processor.tokenizer(message(processor, "")).input_ids
    dropped = ids.index(processor.tokenizer.convert_tokens_to_ids(VISION[0]))
    return QwenConditionEncoder(model.model, ReleasedMessage(processor), 120, dropped)


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def message(processor, instruction: str) -> str:
    content = [
        {"type": "text", "text": PREAMBLE},
        {"type": "image"},
        {"type": "text", "text": instruction},
    ]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=False,
        add_generation_prompt=True,
        add_vision_id=True,
    )


@torch.inference_mode()
def test_the_condition_is_the_models_last_hidden_state_less_its_beginning(
    model, processor, encoder
) -> None:
    """By the library's own processor and whole model, for an instruction without quotes."""
    long = encoder.max_length
    encoder.max_length = 4000
    embeddings, mask = encoder.encode([image()], ["make it red"])
    encoder.max_length = long
    inputs = processor(
        text=[message(processor, "make it red")],
        images=[fitted(Image.fromarray(image()))],
        return_tensors="pt",
    )
    out = model(**inputs, output_hidden_states=True).hidden_states[-1][0, encoder.dropped :]
    assert mask.sum() == len(out)
    torch.testing.assert_close(embeddings[0, : len(out)], out)
    assert not embeddings[0, len(out) :].any()


def test_rows_have_one_length_and_know_no_company(encoder) -> None:
    both, mask = encoder.encode([image(0), image(1)], ["make it red", ""])
    assert both.shape == (2, 120, 32) and mask.shape == (2, 120) and mask.dtype == torch.int64
    alone, _ = encoder.encode([image(1)], [""])
    assert torch.equal(both[1:], alone)
    assert not torch.equal(encoder.encode([image(0)], [""])[0], alone)


def test_quoted_letters_are_tokens_of_their_own(processor) -> None:
    released = ReleasedMessage(processor)
    _, ids = released(Image.fromarray(image()), 'write "ab" here')
    text = processor.tokenizer.decode(ids)
    assert text.endswith('write "ab" here<|im_end|>\n<|im_start|>assistant\n')
    pixels, plain = released(Image.fromarray(image()), "write ab here")
    whole = processor(
        text=[message(processor, "write ab here")],
        images=[fitted(Image.fromarray(image()))],
        return_tensors="pt",
    )
    assert plain == whole["input_ids"][0].tolist()
    assert torch.equal(pixels["pixel_values"], whole["pixel_values"])


def test_it_loads_from_a_folder_without_the_head(model, processor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = load_encoder(tmp_path, torch.float32)
    assert isinstance(loaded, QwenConditionEncoder)
    count = sum(weight.numel() for weight in model.model.parameters())
    assert sum(weight.numel() for weight in loaded.parameters()) == count
    assert (loaded.max_length, loaded.dropped) == (640, 217)
    embeddings, mask = loaded.encode([image()], ["make it red"])
    assert embeddings.shape == (1, 640, 32) and 0 < mask.sum() <= 640


def test_the_stand_in_message_has_the_images_tokens() -> None:
    pixels, ids = BytesMessage()(Image.fromarray(np.zeros((512, 512, 3), np.uint8)), "red")
    assert ids.count(151655) == 324 and pixels["pixel_values"].shape == (4 * 324, 1176)
    assert len(ids) == 217 + 324 + 1 + 3 + 5
