"""OWL-ViT (Minderer et al. 2022): an open-vocabulary detector, with the published weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics.detectors import Detection, Detector
from metrics.nets.files import Extractor, HubFile

_REPOSITORY = "google/owlvit-base-patch32"
_FILES = (
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
THRESHOLD = 0.1  # VISOR's (Gokhale et al. 2022)
EXTRACTORS = {
    "owlvit": Extractor(
        "owlvit", tuple(HubFile(_REPOSITORY, name) for name in _FILES), 613, "Apache-2.0"
    )
}


class OwlViT(Detector):
    """Boxes of named objects, in float32 on the CPU."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model.eval(), processor

    @classmethod
    def load(cls) -> OwlViT:
        """The published one. Raises MissingExtractor."""
        from transformers import OwlViTForObjectDetection, OwlViTProcessor

        folder: Path = EXTRACTORS["owlvit"].paths()[0].parent
        only = {"local_files_only": True}
        model = OwlViTForObjectDetection.from_pretrained(folder, use_safetensors=True, **only)
        return cls(model, OwlViTProcessor.from_pretrained(folder, **only))

    def detect(self, frame: np.ndarray, phrases: Sequence[str]) -> list[Detection]:
        import torch

        height, width = frame.shape[:2]
        asked = [f"a photo of a {phrase}" for phrase in phrases]
        inputs = self._processor(text=[asked], images=frame, return_tensors="pt")
        with torch.inference_mode():
            outputs = self._model(**inputs)
        (found,) = self._processor.post_process_grounded_object_detection(
            outputs, threshold=THRESHOLD, target_sizes=[(height, width)]
        )
        shape = np.array([width, height, width, height])
        return [
            Detection(phrases[int(label)], tuple((box.numpy() / shape).tolist()), float(score))
            for box, label, score in zip(
                found["boxes"], found["labels"], found["scores"], strict=True
            )
        ]
