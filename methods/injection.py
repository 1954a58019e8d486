"""PnP's injection: what the source branch leaves of one step, and its way into the edit.

Tumanyan et al. 2023, section 4: residual features of one decoder block and queries and keys of the
decoder's self-attentions from :data:`methods.attention.PNP_ATTENTION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from methods.attention import (
    PNP_ATTENTION,
    InjectedAttention,
    Projection,
    RecordedAttention,
    control,
    record_output,
    replace_output,
)

if TYPE_CHECKING:
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
    from methods.sampling import Branches


@dataclass(frozen=True)
class SourceFeatures:
    """What a pass over n source frames left."""

    projections: Mapping[str, Projection]  # by site
    site: str  # of the residual features
    residual: Tensor  # (n, C, h, w)
    noise: Tensor  # (n, 4, h, w), the pass's own answer

    def hooks(self, features: bool) -> dict[str, Any]:
        """Hooks that give the edit's branches the source's residual features, if asked."""
        return {self.site: replace_output(self.residual)} if features else {}

    def processors(self, attention: bool) -> dict[str, Any]:
        """Processors that give independent frames the source's queries and keys, if asked."""
        sites = self.projections if attention else ()
        return {site: InjectedAttention(self.projections[site]) for site in sites}


def read_source(backbone: StableDiffusion, branches: Branches, site: str) -> SourceFeatures:
    """Run the source branch and keep what may be injected; ``site``: of the residual features."""
    projections: dict[str, Projection] = {}
    outputs: dict[str, Tensor] = {}
    processors = {name: RecordedAttention(name, projections) for name in PNP_ATTENTION}
    with control(backbone.unet, processors, {site: record_output(outputs, site)}):
        noise = branches.read(backbone)
    return SourceFeatures(projections, site, outputs[site], noise)
