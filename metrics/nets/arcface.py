"""ArcFace (Deng et al. 2019): whose face it is, by the network that Hallo's release uses."""

from __future__ import annotations

from functools import cache

import numpy as np

from metrics.nets.files import Extractor, HubFile

SIDE = 112  # pixels
EXTRACTOR = Extractor(
    "arcface",
    (HubFile("fudan-generative-ai/hallo", "face_analysis/models/glintr100.onnx"),),
    261,
    "non-commercial research",
)


class ArcFace:
    """Unit embeddings of faces that are already cut out."""

    def __init__(self, network: object) -> None:
        self._network = network  # cv2.dnn.Net: it runs ONNX without another package

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(N, 512) of (N, h, w, 3) RGB floats in [0, 1]."""
        import cv2

        levels = [np.ascontiguousarray(face * 255).astype(np.float32) for face in faces]
        blob = cv2.dnn.blobFromImages(levels, 1 / 127.5, (SIDE, SIDE), (127.5,) * 3)
        self._network.setInput(blob)
        found = self._network.forward()
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@cache
def arcface() -> ArcFace:
    """The published network, loaded once. Raises MissingExtractor."""
    (path,) = EXTRACTOR.paths()
    import cv2

    return ArcFace(cv2.dnn.readNetFromONNX(str(path)))
