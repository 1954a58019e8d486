"""Whose face it is: boxes and an embedding, from known boxes or from detectors where installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from data.errors import UserError, nearest
from methods.backbones.hallo.regions import Box

#: mediapipe's landmarks around the face and on the lips' outline.
OUTLINE = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 146, 91, 181, 84, 17, 314, 405, 321, 375)
LANDMARKER = "face_landmarker_v2_with_blendshapes.task"

Analyser = Callable[[np.ndarray, tuple[Box, Box] | None], "Face"]


@dataclass(frozen=True)
class Face:
    """The box of a face's outline, that of its lips, and whose face it is."""

    box: Box
    lips: Box
    embedding: Tensor  # (face_dim,)


@dataclass(frozen=True)
class Thumbnail:
    """The embedded form: known boxes; the face's pixels, shrunk, are its embedding."""

    side: int

    def __call__(self, picture: np.ndarray, boxes: tuple[Box, Box] | None) -> Face:
        """Analyse an (H, W, 3) uint8 picture; :class:`UserError` without known boxes."""
        if boxes is None:
            raise UserError(
                "this backbone finds no faces by itself: the clip must come with two boxes, of the "
                "face and of the lips, in its manifest."
            )
        return Face(*boxes, thumbnail(picture, boxes[0], self.side))


def thumbnail(picture: np.ndarray, box: Box, side: int) -> Tensor:
    """(3 * side * side,) in -1..1: what is in a box, averaged over cells."""
    height, width = picture.shape[:2]
    x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
    x1, y1 = min(width, max(x0 + 1, round(box[2]))), min(height, max(y0 + 1, round(box[3])))
    small = cv2.resize(picture[y0:y1, x0:x1], (side, side), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small).float().flatten() / 127.5 - 1


@dataclass(frozen=True)
class Detectors:
    """The released form: insightface's embedding of the largest face, mediapipe's landmarks.

    ``folder`` holds ``models/`` (insightface) and mediapipe's landmarker. Boxes that are known are
    taken as they are; a picture without a face has a zero embedding, as released.
    """

    folder: Path

    def __call__(self, picture: np.ndarray, boxes: tuple[Box, Box] | None) -> Face:
        """Analyse an (H, W, 3) uint8 picture; :class:`UserError` where a detector is absent."""
        return Face(*(boxes or self._boxes(picture)), self._embedding(picture))

    def _embedding(self, picture: np.ndarray) -> Tensor:
        _installed("insightface")
        from insightface.app import FaceAnalysis

        app = FaceAnalysis(name="", root=str(self.folder), providers=["CPUExecutionProvider"])
        app.prepare(ctx_id=0, det_size=(640, 640))
        faces = app.get(np.ascontiguousarray(picture[..., ::-1]))
        if not faces:
            return torch.zeros(512)
        x0, y0, x1, y1 = np.stack([face["bbox"] for face in faces], axis=1)
        largest = faces[int(((x1 - x0) * (y1 - y0)).argmax())]
        return torch.from_numpy(np.asarray(largest["embedding"], np.float32))

    def _boxes(self, picture: np.ndarray) -> tuple[Box, Box]:
        _installed("mediapipe")
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(self.folder / "models" / LANDMARKER))
        )
        with vision.FaceLandmarker.create_from_options(options) as landmarker:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
            found = landmarker.detect(image).face_landmarks
        if not found:
            raise UserError("mediapipe finds no face in the picture; give the clip's boxes.")
        height, width = picture.shape[:2]
        points = np.array([(point.x * width, point.y * height) for point in found[0]])
        return spanned(points[list(OUTLINE)]), spanned(points[list(LIPS)])


def spanned(points: np.ndarray) -> Box:
    """The box of (P, 2) landmarks, in whole pixels."""
    return (*np.round(points.min(0)).tolist(), *np.round(points.max(0)).tolist())


def _installed(package: str) -> None:
    if find_spec(package) is None:
        raise UserError(
            f"the picture's face is to be analysed by {package}, which is not installed: "
            f"`pip install {package}`, or use backbone world-hallo, whose clips name their faces."
        )


def load_analyser(folder: Path) -> Analyser:
    """The analyser that ``folder/config.json`` asks for; :class:`UserError` if it is none."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    kinds = {"thumbnail": lambda: Thumbnail(config["side"]), "detectors": lambda: Detectors(folder)}
    kind = config.get("kind")
    if kind not in kinds:
        raise UserError(
            f"{path}: unknown kind of face analysis '{kind}'; allowed: {', '.join(kinds)}."
            f"{nearest(str(kind), list(kinds))}"
        )
    return kinds[kind]()
