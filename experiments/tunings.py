"""Tuned weights, made once and shared by every cell and experiment that asks for them.

A tuning takes as long as many cells, so where it stands is kept from time to time, and a run that
was interrupted goes on from there, to the bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clip import Clip
from experiments.atomic import digest, read_sealed, write_atomic, write_sealed
from experiments.catalogue import Catalogue
from experiments.cells import Cell
from experiments.cost import Cost, Meter
from experiments.inversions import Inversions
from experiments.store import Store
from methods.tuning import TunedInversionSpec, TuningRun, TuningSpec

if TYPE_CHECKING:
    from torch import Tensor

EVERY = 20.0  # seconds between two checkpoints


def tuning_of(cell: Cell) -> TuningSpec | None:
    """The tuned weights that a cell needs."""
    return cell.inversion.tuning if isinstance(cell.inversion, TunedInversionSpec) else None


def tuning_id(cell: Cell, code: str) -> str | None:
    """Digest of all that a cell's tuned weights depend on; ``code`` is the tuner's."""
    spec = tuning_of(cell)
    if spec is None:
        return None
    clip = [cell.clip.digest, cell.clip.frames]
    return digest([asdict(spec), clip, cell.backbone.digest, cell.dtype, code])


@dataclass(frozen=True, eq=False)
class Tuned:
    """Weights by name, what making them cost, and inversions by the network that has them."""

    weights: Mapping[str, Tensor]
    cost: Cost
    inversions: Inversions


class Tunings:
    """Loads tuned weights from the store, or makes and stores them; keeps the last."""

    def __init__(self, store: Store, catalogue: Catalogue, meter: Meter) -> None:
        self.store, self.catalogue, self.meter = store, catalogue, meter
        self.held: tuple[str, Tuned] | None = None

    def get(self, name: str, cell: Cell, clip: Clip, backbone: Any) -> Tuned:
        """The weights of an id, which a cell asks for."""
        if self.held is None or self.held[0] != name:
            with self.store.lock(f"tuning-{name}"):
                weights, cost = self._read(name) or self._make(name, cell, clip, backbone)
            # A tuned network's inversions differ from others in how they are computed alone.
            invert = partial(cell.method.invert, weights=weights)
            catalogue = replace(self.catalogue, invert=invert)
            tuned = Tuned(weights, cost, Inversions(self.store, catalogue, self.meter))
            self.held = (name, tuned)
        return self.held[1]

    def _read(self, name: str) -> tuple[dict[str, Tensor], Cost] | None:
        path = self.store.tuning(name)
        record = read_sealed(path.with_suffix(".json"))
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            if record and hashlib.sha256(content).hexdigest() == record["file_sha256"]:
                return _tensors(content), Cost(**record["cost"])
        return None

    def _make(
        self, name: str, cell: Cell, clip: Clip, backbone: Any
    ) -> tuple[dict[str, Tensor], Cost]:
        spec, path = cell.inversion.tuning, self.store.tuning(name)
        tuner = cell.method.tuner(backbone, clip.frames, spec)
        partial_path = self.store.root / "partial" / f"tuning-{name}.safetensors"
        spent, kept = _resume(partial_path, tuner), time.monotonic()
        while tuner.done < spec.steps:
            with self.meter.measure(spent.seconds) as cost:
                tuner.step()
            spent = spent + cost
            if time.monotonic() - kept > EVERY:
                _keep(partial_path, tuner, spent)
                kept = time.monotonic()
        content = _bytes(tuner.result())
        write_atomic(path, content)
        write_sealed(
            path.with_suffix(".json"),
            {
                "file_sha256": hashlib.sha256(content).hexdigest(),
                "cost": asdict(spent),
                "clip": clip.id,
                "dataset": clip.dataset,
                "spec": asdict(spec),
            },
        )
        for left in (partial_path, partial_path.with_suffix(".json")):
            left.unlink(missing_ok=True)
        # Read back, so that a first cell sees what all later ones will.
        return _tensors(content), spent


def _keep(path: Path, tuner: TuningRun, spent: Cost) -> None:
    """Write where a tuning stands; the record comes last and is of these very tensors."""
    content = _bytes(tuner.pack())
    write_atomic(path, content)
    record = {"file_sha256": hashlib.sha256(content).hexdigest(), "cost": asdict(spent)}
    write_sealed(path.with_suffix(".json"), record)


def _resume(path: Path, tuner: TuningRun) -> Cost:
    """Bring a tuning to where it was left, if that can be trusted; what it has cost so far."""
    record = read_sealed(path.with_suffix(".json"))
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        if record and hashlib.sha256(content).hexdigest() == record["file_sha256"]:
            tuner.unpack(_tensors(content))
            return Cost(**record["cost"])
    return Cost()


def _bytes(tensors: Mapping[str, Tensor]) -> bytes:
    from safetensors.torch import save

    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def _tensors(content: bytes) -> dict[str, Tensor]:
    """In memory of their own: a file holds them unaligned, and kernels may round by alignment."""
    from safetensors.torch import load

    return {name: tensor.clone() for name, tensor in load(content).items()}
