"""CLIP models in transformers' layout: the one PIE-Bench scores with, and PickScore's."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from metrics.memo import Memo
from metrics.nets.files import Extractor, HubFile

if TYPE_CHECKING:
    import torch
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

_MODEL = ("model.safetensors", "config.json")
_PROCESSOR = ("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")
_BATCH = 16


_SHA256 = {
    ("openai/clip-vit-large-patch14", "model.safetensors"): (
        "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb"
    ),
}


def _files(repository: str, names: tuple[str, ...]) -> tuple[HubFile, ...]:
    return tuple(HubFile(repository, name, _SHA256.get((repository, name), "")) for name in names)


EXTRACTORS = {
    "clip-vit-large-patch14": Extractor(
        "clip-vit-large-patch14",
        _files("openai/clip-vit-large-patch14", (*_MODEL, *_PROCESSOR)),
        1713,
        "MIT",
    ),
    "PickScore_v1": Extractor(
        "PickScore_v1",
        (
            *_files("yuvalkirstain/PickScore_v1", _MODEL),
            *_files("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", _PROCESSOR),
        ),
        3946,
        "MIT",
    ),
}


class HfClip:
    """Image and text embeddings in float32 on the CPU; texts are cut at the context length."""

    def __init__(
        self, model: CLIPModel, images: CLIPImageProcessorPil, tokenizer: CLIPTokenizer
    ) -> None:
        """The model, what prepares its PIL images, and its tokenizer."""
        self._model, self._images, self._tokenizer = model, images, tokenizer
        self._embeddings: Memo[torch.Tensor] = Memo()
        self.scale = float(model.logit_scale.exp())  # what the model multiplies cosines with

    def encode_image(self, frames: np.ndarray) -> torch.Tensor:
        """(N, D) unit embeddings of (N, H, W, 3) uint8 frames."""
        return self._embeddings.get(frames, lambda: self._encode(frames))

    def _encode(self, frames: np.ndarray) -> torch.Tensor:
        import torch
        from PIL import Image
        from torch.nn import functional as F

        pictures = [Image.fromarray(frame) for frame in frames]
        pixels = self._images(images=pictures, return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            parts = [self._model.vision_model(part).pooler_output for part in pixels.split(_BATCH)]
            return F.normalize(self._model.visual_projection(torch.cat(parts)), dim=-1)

    def encode_text(self, prompts: list[str]) -> torch.Tensor:
        """(B, D) unit embeddings of prompts."""
        import torch
        from torch.nn import functional as F

        length = self._model.config.text_config.max_position_embeddings
        tokens = self._tokenizer(
            prompts, padding=True, truncation=True, max_length=length, return_tensors="pt"
        )
        with torch.no_grad():
            pooled = self._model.text_model(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            ).pooler_output
            return F.normalize(self._model.text_projection(pooled), dim=-1)

    def text_cosines(self, frames: np.ndarray, prompt: str) -> np.ndarray:
        """(N,) cosines between (N, H, W, 3) frames and a prompt."""
        return (self.encode_image(frames) @ self.encode_text([prompt])[0]).double().numpy()


@cache
def hf_clip(name: str) -> HfClip:
    """A model of ``EXTRACTORS``, loaded once. Raises MissingExtractor."""
    paths = EXTRACTORS[name].paths()
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(paths[0].parent, use_safetensors=True)
    processor = paths[len(_MODEL)].parent
    return HfClip(
        model.float().eval().requires_grad_(False),
        CLIPImageProcessorPil.from_pretrained(processor),
        CLIPTokenizer.from_pretrained(processor),
    )
