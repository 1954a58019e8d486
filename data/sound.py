"""Read and write sound files."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import av
import numpy as np

from data.errors import Missing, UserError
from data.speech import RATE, Audio


def read_audio(path: Path, rate: int = RATE) -> Audio:
    """The sound of a WAV, FLAC, MP3 or video file, mixed to one channel at a rate.

    Sound that is so already keeps its samples. Raises Missing where there is no such file, and
    UserError where it has no sound that can be decoded.
    """
    if not path.is_file():
        raise Missing(f"{path}: no such file. Paths are relative to the manifest.")
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise UserError(f"{path}: it has no sound. Give a WAV, FLAC or MP3 file.")
            decoded = container.decode(container.streams.audio[0])
            frames = [part for frame in decoded for part in resampler.resample(frame)]
            frames += resampler.resample(None)
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(
            f"{path}: not a sound that can be decoded ({error}). Give a WAV, FLAC or MP3 file."
        ) from None
    if not frames:
        raise UserError(f"{path}: its sound is empty; the file is truncated or damaged.")
    return Audio(np.concatenate([frame.to_ndarray()[0] for frame in frames]), rate)


def wav_bytes(audio: Audio) -> bytes:
    """A WAV file of an audio: 16 bits, one channel."""
    out = io.BytesIO()
    with wave.open(out, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(audio.rate)
        stream.writeframes(np.ascontiguousarray(audio.samples, "<i2").tobytes())
    return out.getvalue()
