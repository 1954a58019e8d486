"""Qwen2.5-VL as the released program asks it: its last hidden states are the condition.

The message is a fixed preamble, the working image and the instruction. What the preamble's tokens
come to is dropped, the rest padded with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoProcessor, Qwen2_5_VLModel
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from methods.backbones.step1x.quotes import split_quoted

MAX_LENGTH = 640
DROPPED = 217  # tokens of the template, the preamble and "Picture 1: "
MIN_PIXELS, MAX_PIXELS = 256 * 28 * 28, 324 * 28 * 28
ANY_PIXELS = 16384 * 28 * 28  # bounds of the first of two resizes, as in qwen_vl_utils
FEWEST_PIXELS = 4 * 28 * 28

#: The released program's, word for word, for the weights know no other: the "complex human
#: instruction" of SANA (Xie et al. 2024, https://arxiv.org/abs/2410.10629).
PREAMBLE = (
    'Given a user prompt, generate an "Enhanced prompt" that provides detailed visual descriptions '
    "suitable for image generation. Evaluate the level of detail in the user prompt:\n"
    "- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, "
    "and spatial relationships to create vivid and concrete scenes.\n"
    "- If the prompt is already detailed, refine and enhance the existing details slightly without "
    "overcomplicating.\n\n"
    "Here are examples of how to transform or refine prompts:\n"
    "- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round "
    "shape, sleeping peacefully on a warm sunny windowsill, surrounded by pots of blooming red "
    "flowers.\n"
    "- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, "
    "featuring glowing street lamps, a diverse crowd of people in colorful clothing, and a "
    "double-decker bus passing by towering glass skyscrapers.\n\n"
    "Please generate only the enhanced description for the prompt below and avoid including any "
    "additional commentary or evaluations:\n"
    "User Prompt:"
)

#: Pixels (P, D) of an image and the ids of the message, given the image and the instruction.
Prepare = Callable[[Image.Image, str], tuple[dict[str, Tensor], list[int]]]


class QwenConditionEncoder(nn.Module):
    """The vision-language model without its head, and what makes its input.

    ``prepare`` gives an image's ``pixel_values`` and ``image_grid_thw``, and the message's ids.
    """

    def __init__(
        self,
        model: Qwen2_5_VLModel,
        prepare: Prepare,
        max_length: int = MAX_LENGTH,
        dropped: int = DROPPED,
    ) -> None:
        super().__init__()
        self.model, self.prepare = model, prepare
        self.max_length, self.dropped = max_length, dropped
        self.device = torch.device("cpu")  # where inputs go; weights may be fetched there as needed

    @classmethod
    def from_pretrained(cls, folder: Path, torch_dtype: torch.dtype) -> QwenConditionEncoder:
        """A folder as on the hub; safetensors only."""
        only = {"local_files_only": True}
        model = Qwen2_5_VLModel.from_pretrained(
            folder, dtype=torch_dtype, use_safetensors=True, **only
        )
        bounds = {"min_pixels": MIN_PIXELS, "max_pixels": MAX_PIXELS}
        return cls(model, ReleasedMessage(AutoProcessor.from_pretrained(folder, **bounds, **only)))

    def save_pretrained(self, folder: Path) -> None:
        """Model and processor."""
        self.model.save_pretrained(folder)
        self.prepare.processor.save_pretrained(folder)

    @torch.inference_mode()
    def encode(
        self, images: Sequence[np.ndarray], instructions: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """(B, max_length, D) embeddings and (B, max_length) int64 mask, row by row.

        A message longer than ``max_length`` after the cut is truncated, as released.
        """
        rows = [
            self._row(Image.fromarray(image), text)
            for image, text in zip(images, instructions, strict=True)
        ]
        embeddings = rows[0].new_zeros(len(rows), self.max_length, rows[0].shape[-1])
        mask = torch.zeros(embeddings.shape[:2], dtype=torch.int64, device=embeddings.device)
        for k, row in enumerate(rows):
            embeddings[k, : len(row)] = row
            mask[k, : len(row)] = 1
        return embeddings, mask

    def _row(self, image: Image.Image, instruction: str) -> Tensor:
        pixels, ids = self.prepare(image, instruction)
        tokens = torch.tensor([ids], device=self.device)
        out = self.model(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            pixel_values=pixels["pixel_values"].to(self.device, self.model.dtype),
            image_grid_thw=pixels["image_grid_thw"].to(self.device),
            # Without it the image's tokens would stand in a line instead of in a grid.
            mm_token_type_ids=(tokens == self.model.config.image_token_id).int(),
            use_cache=False,
        )
        return out.last_hidden_state[0, self.dropped :][: self.max_length]


class ReleasedMessage:
    """Preamble, image and instruction in the model's chat template, quotes letter by letter."""

    def __init__(self, processor: AutoProcessor) -> None:
        self.processor = processor

    def __call__(self, image: Image.Image, instruction: str) -> tuple[dict[str, Tensor], list[int]]:
        """Pixels and ids; see :class:`QwenConditionEncoder`."""
        content = [
            {"type": "text", "text": PREAMBLE},
            {"type": "image"},
            {"type": "text", "text": instruction},
        ]
        text = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=False,
            add_generation_prompt=True,
            add_vision_id=True,
        )
        inputs = self.processor(text=[text], images=[fitted(image)], return_tensors="pt")
        tokenizer = self.processor.tokenizer
        spelt = [token for piece in split_quoted(text) for token in self._ids(piece)]
        end = tokenizer.convert_tokens_to_ids("<|vision_end|>")
        whole = inputs["input_ids"][0].tolist()
        # Up to the image as the processor has it, for it knows how many tokens the image takes.
        ids = whole[: whole.index(end)] + spelt[spelt.index(end) :]
        return {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}, ids

    def _ids(self, piece: str) -> list[int]:
        """A piece's ids; the curly quotes around a letter that is spelt are taken off again."""
        tokenizer = self.processor.tokenizer
        ids = tokenizer(piece).input_ids
        first, last = (tokenizer(quote).input_ids for quote in "\u201c\u201d")
        if ids[: len(first)] == first and ids[-len(last) :] == last:
            return ids[len(first) : -len(last)]
        return ids


def fitted(image: Image.Image) -> Image.Image:
    """An image at multiples of 28 pixels: the first of two resizes, before the processor's."""
    height, width = smart_resize(
        image.height, image.width, factor=28, min_pixels=FEWEST_PIXELS, max_pixels=ANY_PIXELS
    )
    return image.resize((width, height))
