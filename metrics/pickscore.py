"""PickScore (Kirstain et al. 2023): how people would rank the frames for the prompt."""

from __future__ import annotations

from metrics.base import Family, Sample, Score
from metrics.nets.hf_clip import EXTRACTORS, hf_clip

_MODEL = "PickScore_v1"


class PickScore(Family):
    """Scaled cosine (about 19 to 21) of frames and target prompt, the source's where no edit is
    asked, by a CLIP ViT-H/14 fine-tuned on people's choices; mean over frames."""

    name = "pickscore"
    extractors = ("v1",)
    higher_is_better = True
    range = (-100.0, 100.0)
    margin = 0.1
    citation = "Kirstain et al. 2023; exp(logit scale) x cosine, mean over frames as TGVE"

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        return EXTRACTORS[_MODEL].digest()

    def compute(self, sample: Sample) -> Score:
        model = hf_clip(_MODEL)
        prompt = sample.edit.prompt if sample.edit else sample.clip.prompt
        scores = model.scale * model.text_cosines(sample.frames, prompt)
        return Score(float(scores.mean()), tuple(scores))
