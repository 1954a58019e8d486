"""From an experiment's YAML to the rows it asks for; every name and value checked on the way.

All problems are recorded in the source, none is raised, so that a user sees them together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

from experiments.catalogue import Catalogue
from experiments.cells import BackboneRef, Request
from experiments.clip_blocks import ChosenClip, ClipReader
from experiments.schema import Experiment
from experiments.settings import ChosenMethod, SettingReader
from experiments.table_blocks import TableReader
from experiments.yaml_source import Location, YamlSource


class Resolver:
    """Looks up everything an experiment names."""

    def __init__(self, source: YamlSource, experiment: Experiment, catalogue: Catalogue) -> None:
        self.source, self.experiment, self.catalogue = source, experiment, catalogue

    def requests(self) -> list[Request]:
        """Every row, in the order of the file; empty where problems were found."""
        self.source.distinct(self.experiment.seeds, ("seeds",))
        for index, seed in enumerate(self.experiment.seeds):
            if not 0 <= seed < 2**63:
                self.source.problem(
                    ("seeds", index), f"{seed} given; must be 0 or more and < 2^63."
                )
        self._metrics()
        backbones = self._backbones()
        methods = self._methods()
        labels = [block.title for block in self.experiment.methods]
        if any(place[0] == "methods" for place in self.source.broken):
            labels = []  # whether a label is known cannot be said
        clips = ClipReader(self.source, self.catalogue).clips(self.experiment.clips, labels)
        if not self.source.broken:
            self._fit(methods, clips, backbones)
            TableReader(self.source, self.experiment, methods, clips).check()
        if self.source.problems:
            return []
        return list(self._rows(methods, clips, [ref for _, ref, _ in backbones]))

    def _rows(
        self, methods: list[ChosenMethod], clips: list[ChosenClip], backbones: list[BackboneRef]
    ) -> Iterator[Request]:
        for chosen, clip, backbone in itertools.product(methods, clips, backbones):
            if chosen.label not in clip.labels:
                continue
            edits = clip.edits or (None,)
            for (setting, plain), edit, seed in itertools.product(
                chosen.settings, edits, self.experiment.seeds
            ):
                yield Request(
                    label=chosen.label,
                    method=chosen.method,
                    setting=setting,
                    setting_json=plain,
                    backbone=backbone,
                    clip=clip.clip,
                    edit=edit,
                    seed=seed,
                    dtype=self.experiment.dtype,
                )

    def _metrics(self) -> None:
        self.source.distinct(self.experiment.metrics, ("metrics",))
        for index, recipe in enumerate(self.experiment.metrics):
            self.source.known("metric", recipe, self.catalogue.recipes, ("metrics", index))

    def _backbones(self) -> list[tuple[Location, BackboneRef, str]]:
        """(where, reference, what the network predicts) of each usable backbone."""
        self.source.distinct(self.experiment.backbones, ("backbones",))
        found = []
        for index, name in enumerate(self.experiment.backbones):
            location = ("backbones", index)
            promise = partial(self.catalogue.promised_backbone, name)
            info = self.source.attempt(location, partial(self.catalogue.backbone, name), promise)
            if info and getattr(info, "random", False) and self.experiment.metrics:
                self.source.problem(
                    location,
                    f"'{name}' has random weights and says what an edit costs: leave out 'metrics' "
                    "or name another backbone.",
                )
            if info:
                found.append((location, BackboneRef(name, info.digest), info.prediction_type))
        return found

    def _methods(self) -> list[ChosenMethod]:
        found = []
        reader = SettingReader(self.source)
        titles = [block.title for block in self.experiment.methods]
        for index, block in enumerate(self.experiment.methods):
            location = ("methods", index)
            if block.title in titles[:index]:
                self.source.problem(
                    (*location, "label"),
                    f"'{block.title}' already names another entry; give this one its own label.",
                )
            if self.source.known(
                "method", block.name, tuple(self.catalogue.methods), (*location, "name")
            ):
                method = self.catalogue.methods[block.name]
                settings = tuple(reader.settings(block, method, location))
                found.append(ChosenMethod(block.title, method, settings, location))
        return found

    def _fit(
        self,
        methods: list[ChosenMethod],
        clips: list[ChosenClip],
        backbones: list[tuple[Location, BackboneRef, str]],
    ) -> None:
        """Refuse what a method cannot do with a clip, an edit or a backbone, with the reason."""
        for chosen in methods:
            requires = chosen.method.requires
            for location, backbone, prediction in backbones:
                if requires.backbone and prediction not in requires.prediction:
                    self.source.problem(
                        location,
                        f"'{backbone.name}' predicts {prediction}; method '{chosen.label}' needs "
                        f"{' or '.join(requires.prediction)}.",
                    )
            for clip in clips:
                if chosen.label not in clip.labels:
                    continue
                if requires.edit and not clip.edits:
                    self.source.problem(
                        clip.location,
                        f"clip '{clip.clip.clip}' has no edits here, and method '{chosen.label}' "
                        "needs one: restrict the entry with 'methods', or ask for edits.",
                    )
                for edit in clip.edits:
                    if requires.oracle and edit.edit not in clip.oracles:
                        self.source.problem(
                            clip.location,
                            f"edit '{edit.edit}' of clip '{clip.clip.clip}' has no known answer; "
                            f"method '{chosen.label}' needs one.",
                        )
                    if getattr(requires, "instruction", False) and not edit.instruction:
                        self.source.problem(
                            clip.location,
                            f"edit '{edit.edit}' of clip '{clip.clip.clip}' has no instruction; "
                            f"method '{chosen.label}' follows one.",
                        )
                    kinds = getattr(requires, "kinds", ())
                    if kinds and edit.kind not in kinds:
                        self.source.problem(
                            clip.location,
                            f"edit '{edit.edit}' of clip '{clip.clip.clip}' is of kind "
                            f"'{edit.kind}'; method '{chosen.label}' does {' or '.join(kinds)}.",
                        )
                    if requires.layout and not edit.layout:
                        self.source.problem(
                            clip.location,
                            f"edit '{edit.edit}' of clip '{clip.clip.clip}' names no objects and "
                            f"boxes; method '{chosen.label}' needs a layout.",
                        )
