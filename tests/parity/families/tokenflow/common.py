"""What all kinds read alike: tolerances and the network with its prompts."""

from __future__ import annotations

from tests.parity.compare import Tolerance
from tests.parity.recorded import RecordedBackbone, recorded_backbone
from tests.parity.recording import Recording

STEP = "per_step_teacher_forced"  # tolerance of a step taken from recorded latents


def tolerance(recording: Recording, part: str = "") -> Tolerance:
    """The manifest's tolerance, or the one of a part of it."""
    stated = recording.manifest["suggested_tolerance"]
    stated = stated[part] if part else stated
    return Tolerance(stated["max_abs"], stated["rel_l2"])


def backbone_of(recording: Recording) -> RecordedBackbone:
    """The recording's network; its calls hold a batch of frames in three branches."""
    prompts = [name for name in recording.tensors if name.startswith("in.embed.")]
    embeddings = {name.removeprefix("in.embed."): recording.tensors[name] for name in prompts}
    size = recording.manifest["settings"].get("batch_size", 1)
    return recorded_backbone(recording, embeddings, 3 * size)
