"""The clips and edits that an experiment asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from data.digest import layout_digest
from data.source import EditSummary
from experiments.atomic import digest
from experiments.catalogue import Catalogue
from experiments.cells import ClipRef, EditRef
from experiments.schema import ClipsBlock
from experiments.yaml_source import Location, YamlSource


@dataclass(frozen=True)
class ChosenClip:
    """A clip with its edits and the labels of the methods it is meant for."""

    clip: ClipRef
    edits: tuple[EditRef, ...]
    oracles: frozenset[str]  # edits whose true answer is known
    labels: tuple[str, ...]
    location: Location


class ClipReader:
    """Reads clip blocks; every wrong name and number is recorded in the source."""

    def __init__(self, source: YamlSource, catalogue: Catalogue) -> None:
        self.source, self.catalogue = source, catalogue

    def clips(self, blocks: list[ClipsBlock], labels: list[str]) -> list[ChosenClip]:
        """All clips of all blocks; ``labels`` are the names that methods go by, if known."""
        found: list[ChosenClip] = []
        for index, block in enumerate(blocks):
            location = ("clips", index)
            if block.ids is not None and block.first is not None:
                self.source.problem(location, "give 'ids' or 'first', not both.")
            for n, label in enumerate(block.methods or [] if labels else []):
                self.source.known("method label", label, labels, (*location, "methods", n))
            at = (*location, "dataset")
            if not self.source.known("dataset", block.dataset, self.catalogue.datasets, at):
                continue
            dataset = self.source.attempt(at, partial(self.catalogue.dataset, block.dataset))
            if dataset is None:
                continue
            meant = tuple(block.methods or labels)
            for clip_id, where in self._clip_ids(block, dataset, location):
                read = partial(self._clip, block, dataset, clip_id, meant, location, where)
                chosen = self.source.attempt(where, read)
                if chosen:
                    if not self.source.broken:
                        self._overlap(found, chosen)
                    found.append(chosen)
        return found

    def _overlap(self, found: list[ChosenClip], chosen: ChosenClip) -> None:
        for other in found:
            same = other.clip == chosen.clip and set(other.labels) & set(chosen.labels)
            edits = set(other.edits) & set(chosen.edits) or not (other.edits or chosen.edits)
            if same and edits:
                self.source.problem(
                    chosen.location,
                    f"clip '{chosen.clip.clip}' with the same edits and methods is asked for "
                    "by another entry of 'clips' too.",
                )

    def _clip_ids(
        self, block: ClipsBlock, dataset: Any, location: Location
    ) -> Iterator[tuple[str, Location]]:
        names = tuple(dataset.clip_ids)
        if block.ids is not None:
            self.source.distinct(block.ids, (*location, "ids"))
            for n, clip_id in enumerate(block.ids):
                if self.source.known("clip", clip_id, names, (*location, "ids", n)):
                    yield clip_id, (*location, "ids", n)
        else:
            if block.first is not None and block.first > len(names):
                self.source.problem(
                    (*location, "first"),
                    f"{block.first} given; dataset '{block.dataset}' has {len(names)} clips.",
                )
            for clip_id in names[: block.first]:
                yield clip_id, location

    def _clip(
        self,
        block: ClipsBlock,
        dataset: Any,
        clip_id: str,
        labels: tuple[str, ...],
        location: Location,
        where: Location,
    ) -> ChosenClip | None:
        summary = self.source.attempt(
            where, partial(dataset.summary, clip_id), lambda: dataset.promise(clip_id)
        )
        if summary is None:
            return None
        if block.frames is not None and block.frames > summary.n_frames:
            self.source.problem(
                (*location, "frames"),
                f"{block.frames} given; clip '{clip_id}' has {summary.n_frames} frames.",
            )
        frames = min(block.frames or summary.n_frames, summary.n_frames)
        if block.edits == ["none"]:
            names: list[str] = []
        elif block.edits == ["all"]:
            names = list(summary.edits)
        else:
            names = []
            self.source.distinct(block.edits, (*location, "edits"))
            for n, edit in enumerate(block.edits):
                allowed = (*summary.edits, "all", "none")
                if edit in ("all", "none"):
                    self.source.problem(
                        (*location, "edits", n), f"'{edit}' stands alone or not at all."
                    )
                elif self.source.known(
                    f"edit of clip '{clip_id}'", edit, allowed, (*location, "edits", n)
                ):
                    names.append(edit)
        edits = tuple(
            EditRef(
                name,
                summary.edits[name].kind,
                _asked(summary.edits[name]),
                summary.edit_digests[name],
                layout_digest(summary.edits[name].layout),
                bool(summary.edits[name].instruction),
            )
            for name in names
        )
        return ChosenClip(
            ClipRef(block.dataset, clip_id, frames, summary.digest, summary.prompt),
            edits,
            frozenset(name for name in names if summary.edits[name].has_oracle),
            labels,
            where,
        )


def _asked(edit: EditSummary) -> str:
    """Digest of what every method reads: prompt, words, and sound and instruction if any."""
    words = [list(pair) for pair in edit.words]
    given = {"audio": edit.audio, "instruction": edit.instruction}
    return digest([edit.prompt, words, *([name, text] for name, text in given.items() if text)])
