"""One step's control of the target branch's attention maps by those of the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from methods.blending import words_seen
from methods.inflation import ClipAttention
from methods.source_pass import SourcePass, frame_list

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.inflation import Inflation
    from methods.map_sites import Size
    from methods.word_aligner import Refinement, Replacement


@dataclass(frozen=True, eq=False)
class CrossEdit:
    """Cross-attention: a * w * R(source, own) + (1 - a) * own, rows not normalised again.

    ``share``: (L,) a, 1 for tokens that take from the source in this step; ``weights``: (L,) w.
    """

    aligned: Replacement | Refinement
    share: Tensor
    weights: Tensor

    def __call__(self, source: Tensor, own: Tensor) -> Tensor:
        share, weights = self.share.to(own), self.weights.to(own)
        return self.aligned(source, own) * weights * share + own * (1 - share)


@dataclass(frozen=True, eq=False)
class SelfEdit:
    """Self-attention: the source's, or inside a mask of 0 and 1 the edit's own.

    ``masks``: (n, 1, queries, 1) by number of queries; ``sites``: where maps are replaced.
    """

    sites: Sequence[str]
    masks: Mapping[int, Tensor] | None = None

    def __call__(self, source: Tensor, own: Tensor) -> Tensor:
        if self.masks is None:
            return source
        mask = self.masks[own.shape[2]].to(own)
        return mask * own + (1 - mask) * source


@dataclass(eq=False)
class Watch:
    """Sees, in the maps of some sites, where the target's words are; before any edit."""

    sites: Sequence[str]
    tokens: Sequence[int]
    size: Size
    maps: list[Tensor] = field(default_factory=list)

    def __call__(self, own: Tensor) -> None:
        self.maps.append(own[..., list(self.tokens)])

    def seen(self) -> Tensor:
        """(n, h, w), over all sites."""
        return words_seen(self.maps, range(len(self.tokens)), self.size)


@dataclass(frozen=True, eq=False)
class MapControl:
    """What a step does: edits of maps, and a look at them."""

    source: SourcePass | None
    cross: CrossEdit | None = None
    own: SelfEdit | None = None
    watch: Watch | None = None

    def processors(
        self, network: nn.Module, n_frames: int, inflation: Inflation | None
    ) -> dict[str, ClipAttention]:
        """Processors for the sites whose maps are looked at or edited, and for no others."""
        edits: dict[str, CrossEdit | SelfEdit] = {}
        if self.cross:
            crossed = [site for site in self.source.projections if site.endswith(".attn2")]
            edits |= dict.fromkeys(crossed, self.cross)
        if self.own:
            edits |= dict.fromkeys(self.own.sites, self.own)
        watched = self.watch.sites if self.watch else ()
        return {
            site: ClipAttention(
                n_frames,
                frame_list(network, site, inflation),
                partial(self._edited, network, site, edits.get(site), site in watched),
            )
            for site in dict.fromkeys([*edits, *watched])
        }

    def _edited(
        self,
        network: nn.Module,
        site: str,
        edit: CrossEdit | SelfEdit | None,
        watched: bool,
        own: Tensor,
    ) -> Tensor:
        if watched:
            self.watch(own)
        return edit(self.source.map(network, site), own) if edit else own
