"""Source passes of an inversion kept for the edit: on the device, on the host or on disk.

The pass that an edit's step takes maps from is the pass that inverted the clip at this timestep.
Run again (``recompute``) it costs a third of the step and holds one step's queries and keys; kept,
it costs their memory in all steps. What is kept gives the bits of what is run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from data.errors import UserError
from methods.attention import Projection
from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from methods.source_pass import SourcePass
else:
    torch = lazy_import("torch")

Place = Literal["device", "host", "disk"]
GB = 2**30
CROSS, OWN = ".attn2", ".attn1"


@dataclass(frozen=True)
class Keep:
    """What an inversion is asked to keep of its passes.

    ``place``: ``auto`` is the host while all passes fit into ``gigabytes``, else nothing is kept.
    ``reads``: by timestep whether cross- and self-attention are read. Not part of what inverted
    latents depend on.
    """

    place: Place | Literal["auto"]
    gigabytes: float
    dtype: str
    reads: tuple[tuple[int, bool, bool], ...]

    def of(self, timestep: int, source: SourcePass) -> SourcePass | None:
        """What is read of a pass, in the precision it is kept in; None if nothing is."""
        for t, cross, own in self.reads:
            if t == timestep and (cross or own):
                ends = (CROSS,) * cross + (OWN,) * own
                kept = {s: p for s, p in source.projections.items() if s.endswith(ends)}
                return rounded(replace(source, projections=kept), self.dtype)
        return None


def rounded(source: SourcePass, dtype: str) -> SourcePass:
    """A pass whose queries and keys have a precision, such as ``float16``."""
    kind = getattr(torch, dtype)
    kept = {
        site: Projection(p.query.to(kind), p.key.to(kind)) for site, p in source.projections.items()
    }
    return replace(source, projections=kept)


def pass_bytes(source: SourcePass) -> int:
    """Memory of a pass's queries and keys."""
    return sum(p.query.nbytes + p.key.nbytes for p in source.projections.values())


class KeptPasses:
    """Passes by timestep; filled while the clip is inverted."""

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        self.place: Place | None = None  # decided by the first pass
        self.bytes = 0
        self.passes: dict[int, SourcePass] = {}
        self.folder: TemporaryDirectory[str] | None = None  # goes when nobody holds the passes
        self.files: dict[int, Path] = {}
        self.ahead: tuple[int, Future[Mapping[str, Tensor]]] | None = None
        self.reader: ThreadPoolExecutor | None = None

    def offer(self, timestep: int, source: SourcePass) -> None:
        """Keep what will be read of a pass.

        :class:`UserError` where a named place would take more than the budget; ``auto`` then keeps
        nothing.
        """
        kept = self.keep.of(timestep, source)
        if kept is None:
            return
        if not self.bytes:
            self.place = self._choose(pass_bytes(kept))
        self.bytes += pass_bytes(kept)
        if self.place == "device":
            self.passes[timestep] = kept
        elif self.place:
            self.passes[timestep] = _moved(kept, torch.device("cpu"))
        if self.place == "disk":
            self._write(timestep, self.passes[timestep])

    def _choose(self, one: int) -> Place | None:
        needed = one * sum(cross or own for _, cross, own in self.keep.reads) / GB
        fits = needed <= self.keep.gigabytes
        if self.keep.place == "auto":
            return "host" if fits else None
        if not fits:
            raise UserError(
                f"keeping the source's attention on the {self.keep.place} takes {needed:.1f} GB "
                f"and keep_gb allows {self.keep.gigabytes:g}: raise it, keep float16, or let keep "
                "be recompute."
            )
        return self.keep.place

    def _write(self, timestep: int, source: SourcePass) -> None:
        """Move a pass's tensors into a file; the pass itself stays without them."""
        from safetensors.torch import save_file

        self.folder = self.folder or TemporaryDirectory(prefix="source-passes-")
        self.files[timestep] = Path(self.folder.name) / f"{timestep}.safetensors"
        tensors = {f"{site} q": p.query.contiguous() for site, p in source.projections.items()}
        tensors |= {f"{site} k": p.key.contiguous() for site, p in source.projections.items()}
        save_file(tensors, self.files[timestep])
        self.passes[timestep] = replace(source, projections={})

    def get(self, keep: Keep, timestep: int, device: torch.device) -> SourcePass | None:
        """A pass on a device; None where it was not kept, or not as ``keep`` has it."""
        source = self.passes.get(timestep) if keep == self.keep else None
        if source is None or self.place != "disk":
            return source and _moved(source, device)
        tensors = self._read(timestep).result()
        later = [t for t in self.files if t < timestep]  # edits go towards timestep 0
        self.ahead = (max(later), self._read(max(later))) if later else None
        sites = {name.removesuffix(" q") for name in tensors if name.endswith(" q")}
        kept = {s: Projection(tensors[f"{s} q"], tensors[f"{s} k"]) for s in sorted(sites)}
        return _moved(replace(source, projections=kept), device)

    def _read(self, timestep: int) -> Future[Mapping[str, Tensor]]:
        if self.ahead and self.ahead[0] == timestep:
            return self.ahead[1]
        self.reader = self.reader or ThreadPoolExecutor(1)
        return self.reader.submit(_load, self.files[timestep])


def _load(path: Path) -> Mapping[str, Tensor]:
    """Tensors of a file in memory of their own: kernels round by alignment, and maps have none."""
    from safetensors.torch import load_file

    return {name: x.clone() for name, x in load_file(path).items()}


def _moved(source: SourcePass, device: torch.device) -> SourcePass:
    kept = {
        site: Projection(p.query.to(device), p.key.to(device))
        for site, p in source.projections.items()
    }
    return replace(source, projections=kept)
