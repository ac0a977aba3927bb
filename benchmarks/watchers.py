"""Monitors to attach to a loop written by hand: ours, and those that one gets elsewhere.

Each `attach(loop, folder)` enters the loop as its documentation says to. A package that is absent
is an ImportError, which `benchmarks.overhead` tells as such.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.foreign_loop import Loop, Seen
from equipoise.monitor import Monitor

Attach = Callable[[Loop, Path], Monitor | None]


def nothing(loop: Loop, folder: Path) -> None:
    """The null control."""


def equipoise(**options: Any) -> Attach:
    """Our monitor, with everything that the loop has at hand shown to it."""

    def attach(loop: Loop, folder: Path) -> Monitor:
        players = loop.G, loop.D, loop.optimizer_g, loop.optimizer_d
        monitor = Monitor(*players, run_dir=folder, **options)

        def watch(seen: Seen) -> None:
            monitor.observe(
                real=seen.real,
                fake=seen.fake,
                real_logits=seen.real_logits,
                fake_logits=seen.fake_logits,
                generator_logits=seen.generator_logits,
                losses={"discriminator": seen.loss_d, "generator": seen.loss_g},
            )

        loop.watch, loop.close = watch, monitor.close
        return monitor

    return attach


def _players(loop: Loop) -> list[tuple[str, nn.Module, torch.optim.Optimizer, str]]:
    """Name, network, optimizer and the loss's name in `Seen`."""
    return [
        ("generator", loop.G, loop.optimizer_g, "loss_g"),
        ("discriminator", loop.D, loop.optimizer_d, "loss_d"),
    ]


def wandb_watch(every: int, log: str) -> Attach:
    """`wandb.watch` on both networks, offline: histograms of gradients (and weights)."""

    def attach(loop: Loop, folder: Path) -> None:
        import wandb

        settings = wandb.Settings(console="off", silent=True)
        run = wandb.init(mode="offline", dir=folder, settings=settings, reinit="finish_previous")
        run.watch((loop.G, loop.D), log=log, log_freq=every)

        def watch(seen: Seen) -> None:
            run.log({"loss/d": seen.loss_d.item(), "loss/g": seen.loss_g.item()})

        loop.watch, loop.close = watch, run.finish

    return attach


def tensorboard_histograms(loop: Loop, folder: Path) -> None:
    """A histogram of every weight and every gradient at every step."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(folder)

    def watch(seen: Seen) -> None:
        writer.add_scalar("loss/d", seen.loss_d, loop.steps)
        writer.add_scalar("loss/g", seen.loss_g, loop.steps)
        for player, network, _, _ in _players(loop):
            for name, weight in network.named_parameters():
                writer.add_histogram(f"{player}/{name}", weight, loop.steps)
                writer.add_histogram(f"{player}/{name}/gradient", weight.grad, loop.steps)

    loop.watch, loop.close = watch, writer.close


def torchmortem(sampling: str) -> Attach:
    """An autopsy of each network."""

    def attach(loop: Loop, folder: Path) -> None:
        from torchmortem import Autopsy

        autopsies = [
            (Autopsy(network, optimizer=optimizer, sampling=sampling), loss)
            for _, network, optimizer, loss in _players(loop)
        ]
        for autopsy, _ in autopsies:
            autopsy.attach()

        def watch(seen: Seen) -> None:
            for autopsy, loss in autopsies:
                autopsy.step(loss=getattr(seen, loss).item())

        def close() -> None:
            for autopsy, _ in autopsies:
                autopsy.detach()

        loop.watch, loop.close = watch, close

    return attach


def training_doctor(loop: Loop, folder: Path) -> None:
    """A doctor for each player, given its loss, gradient norm and learning rate at every step."""
    from training_doctor import Doctor

    doctors = [(Doctor(), *rest) for rest in _players(loop)]

    def watch(seen: Seen) -> None:
        for doctor, _, network, optimizer, loss in doctors:
            norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters()])
            doctor.log(
                step=loop.steps,
                loss=getattr(seen, loss).item(),
                grad_norm=norm.item(),
                lr=optimizer.param_groups[0]["lr"],
            )

    loop.watch = watch


def cockpit(every: int) -> Attach:
    """Cockpit's cheapest set ("economy") on the generator's step.

    Not on the discriminator's: BackPACK keeps one input per module, and a discriminator that sees
    reals and fakes in two passes, or is differentiated twice, breaks it.
    """

    def attach(loop: Loop, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pkg_resources is deprecated
            from backpack import extend
            from cockpit import Cockpit
            from cockpit.utils import schedules
            from cockpit.utils.configuration import configuration

        warnings.filterwarnings("ignore", module="backpack")
        extend(loop.G)
        schedule = schedules.linear(interval=every)
        pit = Cockpit(loop.G.parameters(), configuration("economy", track_schedule=schedule))

        def backward(loss: Tensor, logits: Tensor) -> None:
            info = {
                "batch_size": loop.batch,
                "individual_losses": nn.functional.softplus(-logits).flatten().detach(),
                "loss": loss,
                "optimizer": loop.optimizer_g,
            }
            with pit(loop.steps, info=info):
                loss.backward(create_graph=pit.create_graph(loop.steps))

        loop.generator_backward = backward

    return attach


# What is compared: name, attach, and whether the marks hold for it.
OURS: dict[str, Attach] = {
    "nothing (null control)": nothing,
    "equipoise, default": equipoise(),
    "equipoise, every reading at every step": equipoise(schedule="fixed", stride=1),
}
PEERS: dict[str, Attach] = {
    "wandb.watch, default": wandb_watch(1000, "gradients"),
    "wandb.watch, all at every step": wandb_watch(1, "all"),
    "TensorBoard histograms at every step": tensorboard_histograms,
    "torchmortem, balanced": torchmortem("balanced"),
    "torchmortem, fast": torchmortem("fast"),
    "training-doctor": training_doctor,
    "cockpit economy at every step": cockpit(1),
    "cockpit economy at every 10th step": cockpit(10),
}
