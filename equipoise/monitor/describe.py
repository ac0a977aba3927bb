"""Live networks and a batch of reals as facts: plain JSON values by name, for `clinic.preflight`.

All is measured on private copies with generators of random numbers that are put back: modules,
modes, buffers, gradients and random states stay bitwise as they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.errors import unknown
from equipoise.game import OBJECTIVES
from equipoise.monitor.anatomy import (
    TRANSPOSED,
    WEIGHTED,
    Call,
    Calls,
    listening,
    receptive_field,
    replaced,
    spectrally_normalized,
    structure,
    twin,
)
from equipoise.monitor.arguments import Modules, bare_module
from equipoise.monitor.batches import batch_facts, class_facts, data_facts, parted
from equipoise.monitor.reach import deaf_layers, gradient_reach, label_matters, nudged, varies
from equipoise.monitor.ways import (
    Way,
    first_tensor,
    like,
    noise,
    tensors,
    ways_to_generate,
    ways_to_judge,
)

MOST = 16  # samples that pass the networks
SCALES = (1e3, 1e4)  # what is put in place of the last layer's output to see where it ends
GROWS = 2.0  # an output that has no bound grows tenfold from the first scale to the second
AT_BOUND = 1e-3  # distance from a bound, of the distance of both, that counts as being there


def describe(
    generator: Modules,
    discriminator: Modules,
    batch: Any,
    *,
    z: Tensor | None = None,
    labels: Tensor | None = None,
    generator_optimizer: torch.optim.Optimizer | None = None,
    discriminator_optimizer: torch.optim.Optimizer | None = None,
    objective: str | None = None,
    penalties: Mapping[str, float] | None = None,
    batch_size: int | None = None,
    data: Tensor | None = None,
    data_size: int | None = None,
) -> dict[str, Any]:
    """Facts about two players and a batch of reals before the first step.

    `batch`: samples (N, ...), (samples, labels), or a mapping. `z`: latents as the loop draws them;
    without it their size is read from the generator. `penalties`: weight by name as the recipe
    has them, {} for none. `batch_size`: of training, where `batch` is smaller. `data`, `data_size`:
    all reals, and how many there are.

    Several discriminators, a list or a mapping, are described as one with several outputs.

    Raises:
        DataError: no batch of samples.
        ValueError: a player that is no module; an unknown objective.
    """
    if objective is not None and objective not in OBJECTIVES:
        raise ValueError(unknown("objective", objective, OBJECTIVES))
    samples, known = parted(batch)
    labels = known if labels is None else labels
    facts = batch_facts(samples) | data_facts(samples if data is None else data, data_size)
    facts |= {} if labels is None else class_facts(labels)
    facts |= _told(objective, penalties, batch_size, z)
    players = {"generator": generator, "discriminator": discriminator}
    bare = {name: _one(m, name) for name, m in players.items() if m is not None}
    for name, module in bare.items():
        facts |= {f"{name}/{k}": v for k, v in _counted(module).items()}
    if "discriminator" in bare and penalties is not None:
        held = any(weight > 0 for weight in penalties.values())
        facts["discriminator/held"] = held or spectrally_normalized(bare["discriminator"])
    for name, stepped in (
        ("generator", generator_optimizer),
        ("discriminator", discriminator_optimizer),
    ):
        if stepped is not None:
            facts |= _optimizer_facts(name, stepped, bare.get(name))
    with _private_randomness(samples, bare.values()):
        facts |= _played(bare, samples, labels, z)
    return facts


class _Several(nn.Module):
    """Modules called with the same inputs, side by side."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Any) -> list[Any]:
        return [part(x) for part in self.parts]


def _one(player: Any, name: str) -> nn.Module:
    """The player's module; several are taken side by side."""
    parts = list(player.values()) if isinstance(player, Mapping) else player
    if isinstance(parts, (list, tuple)):
        return _Several([bare_module(part, name) for part in parts])
    return bare_module(parts, name)


def _told(
    objective: str | None,
    penalties: Mapping[str, float] | None,
    batch_size: int | None,
    z: Tensor | None,
) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if objective is not None:
        facts["objective"] = objective
    if batch_size is not None:
        facts["batch/size"] = batch_size
    if penalties is not None:
        facts["penalties"] = {name: float(weight) for name, weight in penalties.items()}
    if z is not None and z.numel() > 1:
        facts |= {"latent/mean": float(z.float().mean()), "latent/std": float(z.float().std())}
    return facts


def _counted(module: nn.Module) -> dict[str, Any]:
    parameters = list(module.parameters())
    return {
        "parameters": sum(p.numel() for p in parameters),
        "frozen": bool(parameters) and not any(p.requires_grad for p in parameters),
    }


def _optimizer_facts(
    name: str, optimizer: torch.optim.Optimizer, module: nn.Module | None
) -> dict[str, Any]:
    """Learning rate, beta1 and the share of the player's parameters that it steps."""
    group = optimizer.param_groups[0]
    facts: dict[str, Any] = {
        f"optimizer/{name}/lr": float(group["lr"]),
        f"optimizer/{name}/name": type(optimizer).__name__.lower(),
    }
    if "betas" in group:
        facts[f"optimizer/{name}/beta1"] = float(group["betas"][0])
    if module is not None:
        stepped = {id(p) for g in optimizer.param_groups for p in g["params"]}
        own = [id(p) in stepped for p in module.parameters()]
        facts[f"optimizer/{name}/covers"] = sum(own) / max(len(own), 1)
    return facts


@contextlib.contextmanager
def _private_randomness(samples: Tensor, modules: Iterable[nn.Module]) -> Iterator[None]:
    places = {samples.device, *(p.device for m in modules for p in m.parameters())}
    kinds = {kind: [p for p in places if p.type == kind] for kind in ("cuda", "mps")}
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=kinds["cuda"]))
        if kinds["mps"]:
            stack.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield


def _played(
    players: Mapping[str, nn.Module], samples: Tensor, labels: Tensor | None, z: Tensor | None
) -> dict[str, Any]:
    """What a call of each player shows; a player that cannot be called says why."""
    count = min(len(samples), MOST)
    count -= count % 4 if count > 4 else 0
    real = samples[:count].clone()
    real = real if real.dtype.is_floating_point else real.float()
    given = None if labels is None else labels[:count].detach().clone()
    facts: dict[str, Any] = {}
    copies: dict[str, nn.Module] = {}
    for name, module in players.items():
        try:
            copies[name] = twin(module).requires_grad_(True)
        except Exception as error:  # a module may refuse to be copied in any way it likes
            facts[f"{name}/refused"] = f"cannot be copied: {_said(error)}"
    makes = judges = None
    if "generator" in copies:
        ways = ways_to_generate(copies["generator"], real, given, z)
        makes, told = _generator_facts(ways, real)
        facts |= {f"generator/{k}": v for k, v in told.items()}
    if "discriminator" in copies:
        fake = None if makes is None else first_tensor(makes())
        judges, told = _discriminator_facts(copies["discriminator"], real, fake, given)
        facts |= {f"discriminator/{k}": v for k, v in told.items()}
    return facts | _reach_facts(makes, judges)


def _answered(ways: Iterable[Way]) -> tuple[Way | None, Calls, Any, str]:
    """The first way that works, with the calls inside and the output; else the first refusal."""
    refusal = "no way to call it was found; pass z= and labels="
    for number, way in enumerate(ways):
        try:
            with listening(way.module) as calls:
                output = way()
        except Exception as error:  # wrong inputs end in whatever the network's code does with them
            refusal = _said(error) if number == 0 else refusal
            continue
        return way, calls, output, ""
    return None, Calls(), None, refusal


def _generator_facts(ways: Iterable[Way], real: Tensor) -> tuple[Way | None, dict[str, Any]]:
    """How it is called, what it is made of, shape and range of what it makes, and its bounds."""
    way, calls, output, refusal = _answered(_resized(ways, real))
    fake = first_tensor(output)
    if way is None or fake is None:
        return None, {"refused": refusal or "returns no tensor"}
    latents = way.inputs[0]
    made = fake.detach().double()
    finite = made[torch.isfinite(made)]
    bounds = _bounds(way, calls)
    facts = structure(calls) | {
        "takes": "images" if latents.shape == real.shape and real.dim() > 2 else "z",
        "z_dim": latents[0].numel(),
        "labels": way.labelled,
        "nonfinite": 1 - finite.numel() / max(made.numel(), 1),
    }
    if not way.guessed or fake.shape == real.shape:
        facts["shape"] = list(fake.shape[1:])
    if finite.numel():
        facts |= {"low": float(finite.min()), "high": float(finite.max())}
    if bounds is not None:
        facts |= {"bound_low": bounds[0], "bound_high": bounds[1]}
        facts["saturated"] = _at_bounds(finite, bounds)
    return way, facts


def _resized(ways: Iterable[Way], real: Tensor) -> Iterator[Way]:
    """Where width and height of the latents are a guess, the ones that give the reals' first.

    A transposed convolution at the start says that a single pixel is meant (DCGAN), else.
    """
    for way in ways:
        if way.guessed:
            with contextlib.suppress(Exception), torch.no_grad():
                made = first_tensor(way())
                sizes = (
                    [] if made is None else list(zip(real.shape[2:], made.shape[2:], strict=True))
                )
                shape = (way.inputs[0].shape[1], *(r // m for r, m in sizes))
                fitting = way.on(noise(way.module, len(real), shape))
                if getattr(first_tensor(fitting()), "shape", None) == real.shape:
                    yield fitting
                    return
            first = next(m for m in way.module.modules() if isinstance(m, WEIGHTED))
            way = replace(way, guessed=not isinstance(first, TRANSPOSED))
        yield way


def _discriminator_facts(
    module: nn.Module, real: Tensor, fake: Tensor | None, labels: Tensor | None
) -> tuple[Way | None, dict[str, Any]]:
    """What it is made of, what it says of reals and fakes, the bounds of its logits."""
    way, calls, output, refusal = _answered(ways_to_judge(module, like(module, real), labels))
    if way is None:
        return None, {"refused": refusal}
    logits = [t.detach().double().flatten() for t in tensors(output) if t.dtype.is_floating_point]
    if not logits:
        return None, {"refused": "returns no tensor"}
    parts = [t for t in tensors(output) if t.dtype.is_floating_point]
    values = torch.cat(logits)
    bounds = _bounds(way, calls)
    facts = structure(calls) | {
        "labels": way.labelled,
        "outputs": len(parts),
        "logits_per_sample": parts[0].numel() / len(real),
        "nonfinite": 1 - int(torch.isfinite(values).sum()) / max(len(values), 1),
        "sees": receptive_field(calls, parts[0]),
    }
    if bounds is not None:
        facts |= {"bound_low": bounds[0], "bound_high": bounds[1]}
    if fake is not None:
        _, _, _, refusal = _answered([way.on(like(module, fake.detach()))])
        facts["refuses_fakes"] = refusal
    return way, facts


def _bounds(way: Way, calls: Calls) -> tuple[float | None, float | None] | None:
    """Lowest and highest value that the output can take, None where there is no end to it.

    The last layer with weights is made to give N(0, s^2), for two s: what does not grow is bounded.
    None in place of both where no layer was found whose output could be replaced.
    """
    owners = [call for call in calls.owners() if isinstance(call.output, Tensor)]
    if not owners:
        return None
    small, large = (_range_with(way, owners[-1], scale) for scale in SCALES)
    if small is None or large is None:
        return None
    low = small[0] if abs(large[0]) <= GROWS * max(abs(small[0]), 1e-6) else None
    high = small[1] if abs(large[1]) <= GROWS * max(abs(small[1]), 1e-6) else None
    return low, high


def _range_with(way: Way, last: Call, scale: float) -> tuple[float, float] | None:
    try:
        with replaced(last, scale), torch.no_grad():
            output = first_tensor(way())
    except Exception:  # a layer may check what it is given
        return None
    if output is None or not bool(torch.isfinite(output).all()):
        return None
    return float(output.min()), float(output.max())


def _at_bounds(made: Tensor, bounds: tuple[float | None, float | None]) -> float:
    low, high = bounds
    if low is None or high is None or high <= low or made.numel() == 0:
        return 0.0
    near = AT_BOUND * (high - low)
    return float(((made <= low + near) | (made >= high - near)).double().mean())


def _reach_facts(makes: Way | None, judges: Way | None) -> dict[str, Any]:
    """Whether gradients reach the generator, and whether latents and labels reach the outputs.

    What starts at zero hides the way behind it, so the weights of the copies are nudged first
    where nothing was seen.
    """
    facts: dict[str, Any] = {}
    ways = {n: w for n, w in (("generator", makes), ("discriminator", judges)) if w is not None}
    if makes is not None and judges is not None:
        facts["generator/reached"] = gradient_reach(makes, judges)
    for way in ways.values():
        nudged(way.module)
    if facts.get("generator/reached") == 0 and makes is not None and judges is not None:
        facts["generator/reached"] = gradient_reach(makes, judges)
    if makes is not None:
        facts["generator/varies"] = varies(makes)
    for name, way in ways.items():
        if way.labelled:
            facts[f"{name}/label_matters"] = label_matters(way)
            facts[f"{name}/deaf_layers"] = deaf_layers(way)
    return {name: value for name, value in facts.items() if value is not None}


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
