"""Attend-and-Excite: smoothing, attention, single moves, and whole runs with all their events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import inf
from typing import Any

import torch
from torch import Tensor

from methods.attend_and_excite import AttendAndExcite, Excitation
from methods.base import Context, State
from methods.cross_attention import read_maps, sites_of_size
from methods.excitation import Smoothing, aggregate, kernel, smooth
from methods.solvers import Stand
from methods.text_sampling import guided_step
from tests.parity.compare import Comparison, Tolerance, compare, equal
from tests.parity.families.layout import common
from tests.parity.recording import Recording
from tests.parity.run import Case

Seen = tuple[float, list[float]]  # loss, and each word's largest attention
SETTINGS = (  # of the same name in the manifests
    "max_iter_to_alter",
    "scale_factor",
    "scale_range",
    "attention_res",
    "smooth",
    "sigma",
    "normalize_eot",
)
WEIGHTS = Tolerance(1e-6, inf)  # of a smoothing kernel and what it gives, numbers up to 1


def excitation_cases(recording: Recording) -> Iterator[Case]:
    """Four cases for each run of the manifest, and its smoothing kernels."""
    for case in recording.manifest.get("cases", []):
        run = Run(recording, case)
        parts = [run.schedule, run.attention, run.updates, run.whole]
        if not any(event[0] == "update" for event in case["events"]):
            parts.remove(run.updates)
        for part in parts:
            yield f"{run.id} {part.__name__}", part
    for case in recording.manifest.get("gaussian", []):
        yield case["id"], partial(_smoothing, recording, case)


def _smoothing(recording: Recording, case: dict[str, Any]) -> Iterator[Comparison]:
    tensors, name = recording.tensors, case["id"]
    smoothing = Smoothing(case["sigma"], case["kernel_size"])
    yield compare(tensors[f"{name}.kernel"][0, 0], kernel(smoothing), WEIGHTS)
    ours = smooth(tensors[f"{name}.in"][0, 0], smoothing)
    yield compare(tensors[f"{name}.out"][0, 0], ours, WEIGHTS)


class Run:
    """A recorded run and the same of ours."""

    def __init__(self, recording: Recording, case: dict[str, Any]) -> None:
        self.recording, self.case, self.id = recording, case, case["id"]
        self.prompt, self.indices = case["prompt"], case["indices"]
        self.stated = recording.manifest["tolerance"]
        self.backbone = common.backbone_of(recording, self.id, self.prompt)
        self.method = Watched(self.indices)
        self.setting = AttendAndExcite.Setting(
            n_timesteps=case["steps"],
            scheduler=common.solver_name(case["scheduler"]),
            guidance_scale=case["guidance"],
            thresholds=tuple((int(k), value) for k, value in case["thresholds"].items()),
            kernel_size=case.get("kernel_size", 3),
            **{name: case[name] for name in SETTINGS},
        )
        # The original looks at the attention in every step, also where it changes nothing.
        self.everywhere = self.setting.model_copy(update={"max_iter_to_alter": 10**6})
        self.ctx = common.context(self.backbone, self.setting, self.prompt)

    def tensor(self, name: str) -> Tensor:
        """A recorded tensor of this run."""
        return self.recording.tensors[f"{self.id}.{name}"]

    def stand(self, k: int, history: dict[str, Tensor] | None = None) -> Stand:
        """The scheduler before a step."""
        setting = self.setting
        return Stand.before(setting.scheduler, self.backbone, setting.n_timesteps, k, history)

    def schedule(self) -> Iterator[Comparison]:
        """Timesteps, lengths of moves and tokens."""
        plans = self.method.plan(self.everywhere, 1)
        yield equal(self.case["timesteps"], [plan.timestep for plan in plans])
        ours = torch.tensor([plan.excitation.step_size for plan in plans])
        expected = self.setting.scale_factor * self.tensor("scale_range").sqrt()
        yield compare(expected, ours, Tolerance(1e-5, 1e-6))
        yield common.tokens(self.backbone, self.prompt, self.case["token_strings"])

    def attention(self) -> Iterator[Comparison]:
        """Maps of the first pass, aggregated."""
        latents = self.tensor("init_latents").to(self.recording.dtype)
        side, resolution = tuple(latents.shape[-2:]), self.setting.attention_res
        sites = sites_of_size(self.backbone.unet, side, resolution)
        text = self.backbone.embed([self.prompt])
        timestep = self.case["timesteps"][0]
        maps = read_maps(self.backbone, latents, timestep, text, sites)
        ours = aggregate([shares[0] for shares in maps.values()])
        atol = self.stated["max_attention"]["first evaluation"]["atol"]
        yield compare(self.tensor("first_aggregated_attention"), ours, Tolerance(atol, inf))

    def updates(self) -> Iterator[Comparison]:
        """Single moves from recorded latents."""
        steps = self._steps_of_updates()
        plans = self.method.plan(self.everywhere, 1)
        within = common.latent_tolerance(self.stated["latents"], self.case["fp32_vs_fp64"], 0)
        names = ("update_latents_in", "update_grad", "update_latents_out")
        for k, before, gradient, after in zip(steps, *map(self.tensor, names), strict=False):
            asked = plans[k].excitation
            evaluate = AttendAndExcite.evaluation(
                self.method, self.ctx, self.indices, asked, self.stand(k)
            )
            latents = before.to(self.recording.dtype)
            _, ours, _ = evaluate(latents)
            yield common.gradients(gradient, ours, self.stated["grad (absmax-relative)"])
            yield compare(after, latents - asked.step_size * ours, within)

    def _steps_of_updates(self) -> Iterator[int]:
        k = 0
        for kind, *_ in self.case["events"]:
            if kind == "update":
                yield k
            k += kind == "step"

    def whole(self) -> Iterator[Comparison]:
        """From the initial noise through every recorded step: latents and events."""
        outputs, events = self.tensor("latents_after_step"), []
        latents = self.tensor("init_latents").to(self.recording.dtype)
        plans = self.method.plan(self.setting, 1)
        looking = self.method.plan(self.everywhere, 1)
        history: dict[str, Tensor] = {}
        for k, plan in enumerate(plans[: len(outputs)]):
            stand = self.stand(k, history)
            self.method.seen.clear()
            state = self.method.prepare(self.ctx, State(latents), plan, stand)
            if plan.excitation is None:
                asked = looking[k].excitation
                self.method.evaluation(self.ctx, self.indices, asked, stand)(latents)
            events += _events(self.method.seen, looking[k].excitation, plan.excitation)
            events.append(["step", k, int(plan.timestep)])
            latents, history = guided_step(self.backbone, self.prompt, state.latents, plan, stand)
            gaps = self.case["fp32_vs_fp64"]
            within = common.latent_tolerance(self.stated["latents"], gaps, k)
            yield compare(outputs[k], latents, within)
        yield from self._compared(events)

    def _compared(self, events: Sequence[list[Any]]) -> Iterator[Comparison]:
        """The same kinds in the same order, and the same numbers."""
        expected = self.case["events"]
        yield equal([event[0] for event in expected], [event[0] for event in events])
        atol = self.stated["max_attention"]["all evaluations"]["atol"]
        for theirs, ours in zip(expected, events, strict=False):
            for a, b in zip(theirs[1:], ours[1:], strict=True):
                numbers = (a, b) if isinstance(a, list) else ([a], [b])
                yield common.values(*numbers, atol)
        first, *_ = (event[1] for event in events if event[0] == "max")
        strict = self.stated["max_attention"]["first evaluation"]["atol"]
        recorded = self.tensor("max_attention").tolist()
        yield common.values(recorded[0], first, strict)
        ours = [event[1] for event in events if event[0] == "max"]
        yield compare(torch.tensor(recorded), torch.tensor(ours), Tolerance(atol, inf))
        losses = [event[1] for event in events if event[0] == "update"]
        yield common.values(self.tensor("update_loss").tolist(), losses, atol)


class Watched(AttendAndExcite):
    """The method on known tokens, with an account of what every pass saw."""

    def __init__(self, indices: Sequence[int]) -> None:
        self.indices, self.seen = list(indices), []

    def positions(self, ctx: Context) -> list[int]:
        """Those of the recording."""
        return self.indices

    def evaluation(
        self, ctx: Context, positions: Sequence[int], asked: Excitation, stand: Stand
    ) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
        """The method's, and its loss and maxima noted."""
        evaluate = super().evaluation(ctx, positions, asked, stand)

        def watched(latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            loss, gradient, largest = evaluate(latents)
            self.seen.append((loss.item(), largest.tolist()))
            return loss, gradient, largest

        return watched


def _events(seen: Sequence[Seen], asked: Excitation, done: Excitation | None) -> list[list[Any]]:
    """One step's passes as the original logged them: it makes the first one twice to refine."""
    (loss, largest), *later = seen
    events: list[list[Any]] = [["max", largest]]
    if done is None:
        return events
    if later:
        events += [["refine_start", loss, done.refine_to], ["max", largest]]
        for following, words in later:
            events += [["update", loss, asked.step_size]] if loss else []
            events.append(["max", words])
            loss = following
        events.append(["refine_end", loss])
    return events + ([["update", loss, asked.step_size]] if done.alter and loss else [])
