"""Decode video files, folders of frames and images to RGB frames, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import av.filter
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data.errors import UserError

# Exact conversion, so that every processor and build of the library yields the same RGB bytes.
_SCALE = "bitexact+accurate_rnd+full_chroma_int+full_chroma_inp"

_SLACK = 2  # frames that edit lists and rounded durations may promise too many


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 of an image file, upright, transparent parts over white.

    Raises UserError for a file that is no image of 8 bits a channel.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise UserError(
            f"{path}: not an image that can be read ({error}). Export it again as PNG or JPEG."
        ) from None
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise UserError(f"{path}: {image.mode} pixels; 8 bits per channel are expected.")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


class ImageReader:
    """Images in order, as the frames of a clip."""

    def __init__(self, paths: list[Path], fps: float) -> None:
        self.paths, self.fps = paths, fps

    def frames(self, wanted: Iterator[int]) -> Iterator[np.ndarray]:
        """The frames with the wanted, increasing numbers, until they or the images end."""
        for index in wanted:
            if index >= len(self.paths):
                return
            yield read_image(self.paths[index])

    def __len__(self) -> int:
        return len(self.paths)


class VideoReader:
    """A video file's frames, decoded in order."""

    def __init__(self, path: Path) -> None:
        """Open a file; UserError if it is no video."""
        self.path = path
        try:
            self._container = av.open(str(path))
        except (av.error.FFmpegError, OSError) as error:
            raise self._unreadable(str(error)) from None
        if not self._container.streams.video:
            self._container.close()
            raise self._unreadable("it has no video stream")
        self._stream = self._container.streams.video[0]
        if self._stream.format is None:
            self._container.close()
            raise self._unreadable("its header is incomplete: the file is truncated or damaged")
        self.fps = float(self._stream.average_rate or 0) or 25.0
        self.decoded = 0

    def _unreadable(self, why: str) -> UserError:
        return UserError(
            f"{self.path}: not a video that can be decoded ({why}). "
            "Give an MP4, WebM or AVI file, a folder of frames, or an image."
        )

    def _promised(self) -> int:
        """Number of frames that the header says there are; 0 where it does not say."""
        if self._stream.frames:
            return self._stream.frames
        container = self._container
        # Matroska writes a length (of the longest track); elsewhere it is a guess.
        written = "matroska" in container.format.name and len(container.streams) == 1
        if written and container.duration:
            return int(container.duration / av.time_base * self.fps)
        return 0

    def _to_rgb(self) -> av.filter.Graph:
        graph = av.filter.Graph()
        nodes = [
            graph.add_buffer(template=self._stream),
            graph.add("scale", flags=_SCALE),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph

    def frames(self, wanted: Iterator[int]) -> Iterator[np.ndarray]:
        """The frames with the wanted, increasing numbers, until they or the video end.

        Raises UserError where decoding breaks or the file ends before its header says.
        """
        graph, next_wanted, promised = self._to_rgb(), next(wanted, None), self._promised()
        try:
            for index, frame in enumerate(self._container.decode(self._stream)):
                self.decoded = index + 1
                if index == next_wanted:
                    graph.push(frame)
                    yield graph.pull().to_ndarray(format="rgb24")
                    next_wanted = next(wanted, None)
                if next_wanted is None:
                    return
        except av.error.FFmpegError as error:
            raise UserError(
                f"{self.path}: decoding breaks after {self.decoded} frames ({error}): the file is "
                "truncated or damaged. Fetch it again, or set `stop` in the recipe before that."
            ) from None
        finally:
            self._container.close()
        if self.decoded < promised - _SLACK:
            raise UserError(
                f"{self.path}: {self.decoded} frames decoded of the {promised} that its header "
                "promises: the file is truncated. Fetch it again."
            )
