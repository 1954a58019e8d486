"""CLIP with OpenAI's weights, as open_clip names, builds and feeds it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from metrics.memo import Memo
from metrics.nets.files import Extractor, HubFile

if TYPE_CHECKING:
    import torch

_WEIGHTS = "open_clip_model.safetensors"
_BATCH = 16
EXTRACTORS = {
    "ViT-B-32/openai": Extractor(
        "ViT-B-32/openai",
        (
            HubFile(
                "timm/vit_base_patch32_clip_224.openai",
                _WEIGHTS,
                "e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
            ),
        ),
        605,
        "MIT",
    ),
    "ViT-L-14/openai": Extractor(
        "ViT-L-14/openai",
        (HubFile("timm/vit_large_patch14_clip_224.openai", _WEIGHTS),),
        1711,
        "MIT",
    ),
}


class OpenClip:
    """Image and text embeddings in float32 on the CPU; texts are cut at 77 tokens."""

    def __init__(
        self,
        model: torch.nn.Module,
        preprocess: Callable[[Any], torch.Tensor],
        tokenizer: Callable[[list[str]], torch.Tensor],
    ) -> None:
        """What ``open_clip`` gives: the model, its evaluation transform and its tokenizer."""
        self._model, self._preprocess, self._tokenizer = model, preprocess, tokenizer
        self._embeddings: Memo[torch.Tensor] = Memo()  # several metrics embed the same frames

    def encode_image(self, frames: np.ndarray) -> torch.Tensor:
        """(N, D) unit embeddings of (N, H, W, 3) frames, uint8 or float in [0, 1]."""
        return self._embeddings.get(frames, lambda: self._encode(frames))

    def _encode(self, frames: np.ndarray) -> torch.Tensor:
        import torch
        from PIL import Image

        levels = frames if frames.dtype == np.uint8 else np.round(frames * 255).astype(np.uint8)
        pixels = torch.stack([self._preprocess(Image.fromarray(frame)) for frame in levels])
        with torch.no_grad():
            parts = [
                self._model.encode_image(part, normalize=True) for part in pixels.split(_BATCH)
            ]
        return torch.cat(parts)

    def encode_text(self, prompts: list[str]) -> torch.Tensor:
        """(B, D) unit embeddings of prompts."""
        import torch

        with torch.no_grad():
            return self._model.encode_text(self._tokenizer(prompts), normalize=True)

    def sees_equal(self, prompt: str, other: str) -> bool:
        """Whether two prompts are the same tokens."""
        first, second = self._tokenizer([prompt, other])
        return bool((first == second).all())


@cache
def open_clip_encoder(name: str) -> OpenClip:
    """A CLIP of ``EXTRACTORS``, loaded once per process. Raises MissingExtractor."""
    (path,) = EXTRACTORS[name].paths()
    import open_clip
    import torch

    architecture = name.partition("/")[0]
    with torch.random.fork_rng(devices=[]):
        model, preprocess = open_clip.create_model_from_pretrained(
            architecture, pretrained=str(path), precision="fp32", force_quick_gelu=True
        )
    model.eval().requires_grad_(False)
    return OpenClip(model, preprocess, open_clip.get_tokenizer(architecture))
