"""Layout-Guidance as released: schedule, words, maps, every guidance pass, and whole runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from data.clip import Region
from methods.base import Context, State
from methods.cross_attention import read_maps, sites_of_blocks
from methods.layout_guidance import LOSS, UNTESTED, LayoutGuidance, evaluation
from methods.layout_loss import Target
from methods.solvers import SOLVERS, Stand
from methods.text_sampling import guided_step
from tests.parity.compare import Comparison, Tolerance, compare, equal
from tests.parity.families.layout import common
from tests.parity.recorded import RecordedBackbone
from tests.parity.recording import Recording
from tests.parity.run import Case


@dataclass
class Run:
    """A recorded run of either program and the same of ours."""

    recording: Recording
    id: str
    prompt: str
    targets: list[Target]
    setting: LayoutGuidance.Setting
    stated: dict[str, Any]  # tolerances
    gradient: Any  # that of gradients
    gaps: dict[str, Any]
    counts: list[int]  # guidance passes at each timestep
    layout: Sequence[Region] = ()
    method: LayoutGuidance = field(default_factory=LayoutGuidance)

    def tensor(self, name: str) -> Tensor:
        """A recorded tensor of this run."""
        return self.recording.tensors[f"{self.id}.{name}"]

    @property
    def backbone(self) -> RecordedBackbone:
        """The network with this run's prompts."""
        return common.backbone_of(self.recording, self.id, self.prompt)

    def cases(self) -> Iterator[Case]:
        """What both programs were recorded with."""
        parts = [self.schedule, self.passes, self.whole]
        if f"{self.id}.iter_grad" not in self.recording.tensors and not sum(self.counts):
            parts.remove(self.passes)
        for part in parts:
            yield f"{self.id} {part.__name__}", part

    def stand(self, backbone: RecordedBackbone, k: int) -> Stand:
        """The scheduler before a step."""
        return Stand.before(self.setting.scheduler, backbone, self.setting.n_timesteps, k)

    def schedule(self) -> Iterator[Comparison]:
        """Timesteps, as planned, and sigmas."""
        scheduler = self.stand(self.backbone, 0).scheduler
        planned = SOLVERS[self.setting.scheduler].timesteps(self.setting.n_timesteps)
        yield compare(self.tensor("timesteps"), torch.tensor(planned), common.SIGMAS)
        yield compare(self.tensor("timesteps"), scheduler.timesteps, common.SIGMAS)
        yield compare(self.tensor("sigmas"), scheduler.sigmas, common.SIGMAS)

    def passes(self) -> Iterator[Comparison]:
        """Loss and gradient of every guidance pass from the recorded latents."""
        backbone = self.backbone
        ctx = common.context(backbone, self.setting, self.prompt)
        guidance = self.method.plan(self.setting, 1)[0].guidance
        steps = [k for k, count in enumerate(self.counts) for _ in range(count)]
        losses = []
        for k, latents, expected in zip(
            steps, self.tensor("iter_latents_in"), self.tensor("iter_grad"), strict=True
        ):
            evaluate = evaluation(ctx, self.targets, guidance, self.stand(backbone, k))
            loss, gradient = evaluate(latents.to(self.recording.dtype))
            losses.append(loss.item() / self.setting.loss_scale)
            yield common.gradients(expected, gradient, self.gradient)
        expected = self.tensor("iter_loss_unscaled").tolist()
        yield common.values(expected, losses, self.stated["loss"]["atol"])

    def whole(self) -> Iterator[Comparison]:
        """From the initial noise to the last recorded step, on our own latents."""
        backbone, outputs = self.backbone, self.tensor("latents_after_step")
        ctx = common.context(backbone, self.setting, self.prompt, self.layout)
        noise = self.tensor("init_latents_unscaled").to(self.recording.dtype)
        start = noise * self.stand(backbone, 0).start_scale
        state = State(start, {LOSS: torch.full((1,), UNTESTED)})
        method, counts, history = Found(self.targets), [], {}
        for k, plan in enumerate(method.plan(self.setting, 1)[: len(outputs)]):
            before = backbone.evaluations
            name, n = self.setting.scheduler, self.setting.n_timesteps
            stand = Stand.before(name, backbone, n, k, history)
            state = method.prepare(ctx, state, plan, stand)
            counts.append(backbone.evaluations - before)
            within = common.latent_tolerance(self.stated["latents"], self.gaps, k)
            yield compare(self.tensor("latents_before_step")[k], state.latents, within)
            latents, history = guided_step(backbone, self.prompt, state.latents, plan, stand)
            yield compare(outputs[k], latents, within)
            state = State(latents, state.extra)
        yield equal(self.counts, counts)


class Found(LayoutGuidance):
    """The method on objects whose tokens are known."""

    def __init__(self, targets: list[Target]) -> None:
        self.known = targets

    def targets(self, ctx: Context, counting: str) -> list[Target]:
        """Those of the recording."""
        return self.known


def guidance_cases(recording: Recording) -> Iterator[Case]:
    """Four cases for each run of the manifest."""
    for case in recording.manifest.get("cases", []):
        run = _run(recording, case)
        yield from run.cases()
        yield f"{run.id} words", partial(_words, run, case)
        if sum(run.counts):
            yield f"{run.id} maps", partial(_maps, run)


def _run(recording: Recording, case: dict[str, Any]) -> Run:
    settings, stated = case["inference"], recording.manifest["tolerance"]
    setting = LayoutGuidance.Setting(
        n_timesteps=settings["timesteps"],
        scheduler=common.solver_name(recording.manifest["scheduler"]["class"][:3]),
        guidance_scale=settings["classifier_free_guidance"],
        tokens="words",
        **{n: settings[n] for n in ("loss_scale", "loss_threshold", "max_iter", "max_index_step")},
    )
    phrases = [phrase.strip() for phrase in case["phrases"].split(";")]
    given = [common.boxes(each) for each in case["bboxes"]]
    return Run(
        recording=recording,
        id=case["id"],
        prompt=case["prompt"],
        targets=[
            Target(tuple(tokens), boxes)
            for tokens, boxes in zip(case["object_positions"], given, strict=True)
        ],
        setting=setting,
        stated=stated,
        gradient=stated["grad (absmax-relative)"],
        gaps=case["fp32_vs_fp64"],
        counts=case["guidance_iterations_per_timestep"],
        layout=[Region(phrase, boxes) for phrase, boxes in zip(phrases, given, strict=True)],
    )


def _words(run: Run, case: dict[str, Any]) -> Iterator[Comparison]:
    """Words found by counting, as released."""
    ctx = common.context(run.backbone, run.setting, run.prompt, run.layout)
    found = run.method.targets(ctx, run.setting.tokens)
    yield equal(case["object_positions"], [list(target.tokens) for target in found])
    yield equal([target.boxes for target in run.targets], [target.boxes for target in found])


def _maps(run: Run) -> Iterator[Comparison]:
    """The maps that the first guidance pass reads."""
    backbone = run.backbone
    stand = run.stand(backbone, 0)
    latents = stand.scaled(run.tensor("iter_latents_in")[0].to(run.recording.dtype))
    sites = sites_of_blocks(backbone.unet, run.setting.layers)
    maps = read_maps(backbone, latents, stand.timestep, backbone.embed([run.prompt]), sites)
    within = Tolerance(run.stated["loss"]["atol"], float("inf"))
    for k, site in enumerate(sites):
        expected = run.tensor(f"first_iter_map{k}")
        yield compare(expected, maps[site.name][0].flatten(1, 2), within)
