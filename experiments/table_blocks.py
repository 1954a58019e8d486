"""What the report block of an experiment names: baselines and tables, held against its rows."""

from __future__ import annotations

from experiments.clip_blocks import ChosenClip
from experiments.cost_names import COSTS
from experiments.schema import Experiment, RowBlock, TableBlock
from experiments.settings import ChosenMethod
from experiments.yaml_source import Location, YamlSource

# Files that every report has; what begins like this, too.
TAKEN = ("leaderboard", "edits", "cost", "differences")


class TableReader:
    """Checks the report block; every wrong name is recorded in the source."""

    def __init__(
        self,
        source: YamlSource,
        experiment: Experiment,
        methods: list[ChosenMethod],
        clips: list[ChosenClip],
    ) -> None:
        self.source, self.experiment, self.methods, self.clips = source, experiment, methods, clips

    def check(self) -> None:
        """The baseline of the report, then every table."""
        report = self.experiment.report
        if report.baseline:
            self._baseline(report.baseline, ("report", "baseline"))
        names = [table.name for table in report.tables]
        for index, table in enumerate(report.tables):
            location = ("report", "tables", index)
            if table.name in names[:index]:
                self.source.problem((*location, "name"), f"'{table.name}' names another table.")
            if any(table.name == name or table.name.startswith(f"{name}-") for name in TAKEN):
                self.source.problem(
                    (*location, "name"),
                    f"'{table.name}' is a table that every report has; give this one another name.",
                )
            self._table(table, location)

    def _table(self, table: TableBlock, location: Location) -> None:
        datasets = list(dict.fromkeys(chosen.clip.dataset for chosen in self.clips))
        if table.dataset:
            self.source.known("dataset", table.dataset, datasets, (*location, "dataset"))
        kinds = dict.fromkeys(edit.kind for chosen in self.clips for edit in chosen.edits)
        for n, kind in enumerate(table.edits):
            self.source.known("kind of edit", kind, kinds, (*location, "edits", n))
        self.source.distinct(table.edits, (*location, "edits"))
        for n, row in enumerate(table.rows):
            self._rows(row, (*location, "rows", n))
        recipes = (*self.experiment.metrics, *COSTS)
        for n, recipe in enumerate(table.recipes):
            self.source.known("recipe", recipe, recipes, (*location, "recipes", n))
        self.source.distinct(table.recipes, (*location, "recipes"))
        if not table.recipes and not self.experiment.metrics:
            self.source.problem(location, "has no columns: give 'recipes', or metrics above.")
        across = ("edit", "backbone", *self._fields(""))
        if table.columns:
            self.source.known("axis", table.columns, across, (*location, "columns"))
        if table.group:
            self.source.known("axis", table.group, ("method", *across), (*location, "group"))
        if table.group and table.group == table.columns:
            self.source.problem((*location, "group"), "cannot be what the columns are spread over.")
        costs = [name for name in table.recipes if name in COSTS]
        if table.baseline and costs:
            self.source.problem(
                (*location, "recipes"), f"{costs[0]} is a cost: it has no paired difference."
            )
        if table.baseline:
            self._baseline(table.baseline, (*location, "baseline"))
        labels = [chosen.label for chosen in self.methods]
        for n, published in enumerate(table.published):
            for label in published.values:
                where = (*location, "published", n, "values", label)
                self.source.known("method label", label, labels, where)

    def _fields(self, label: str) -> list[str]:
        """The settings of a label's method; of all methods where none is given."""
        named = [m for m in self.methods if label in ("", m.label)]
        return list(dict.fromkeys(name for m in named for name in m.method.Setting.model_fields))

    def _named(self, block: RowBlock, location: Location) -> bool:
        """Whether the label and the settings of a block exist."""
        labels = [chosen.label for chosen in self.methods]
        if block.label and not self.source.known(
            "method label", block.label, labels, (*location, "label")
        ):
            return False
        fields = self._fields(block.label)
        known = [
            self.source.known("setting", name, fields, (*location, "setting", name))
            for name in block.setting
        ]
        return all(known)

    def _rows(self, block: RowBlock, location: Location) -> None:
        """A choice of rows must hold at least one."""
        if not self._named(block, location):
            return
        rows = [(m.label, plain) for m in self.methods for _, plain in m.settings]
        if not any(block.fits(label, plain) for label, plain in rows):
            about = [plain for label, plain in rows if block.label in ("", label)]
            self.source.problem(location, f"fits none of {len(about)} rows with such a label.")

    def _baseline(self, block: RowBlock, location: Location) -> None:
        """A baseline must single out one row of each label it concerns."""
        if not self._named(block, location):
            return
        for chosen in self.methods:
            if block.label not in ("", chosen.label):
                continue
            rows = [plain for _, plain in chosen.settings]
            if not any(block.concerns(chosen.label, plain) for plain in rows):
                continue
            fitting = sum(block.fits(chosen.label, plain) for plain in rows)
            if fitting != 1:
                self.source.problem(
                    location,
                    f"'{chosen.label}' has {fitting} of {len(rows)} settings that fit; a baseline "
                    "is one: say which by values under 'setting'.",
                )
