"""Rules that one gets elsewhere, as functions `Trace -> failure ids, the surest first`.

None was made for adversarial training but AutoGAN's. Each gets the signals that it asks for and
the trace has, one tick as one step (or epoch) of its own; its docstring says what is lost. What a
tool finds is told by the name of ours that comes closest, to its favour where two come near.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.record import Trace

PLAYERS = ("generator", "discriminator")
Tool = Callable[[Trace], list[str]]

# AUTOTRAINER's default parameters, by the names of its code and paper (Zhang et al. 2021, ICSE;
# shiningrain/AUTOTRAINER, AutoTrainer/reproduce.py and utils/monitor.py).
BETA_2 = 1e-4  # a gradient of a smaller norm vanishes
BETA_3 = 70.0  # a larger one explodes
GAMMA = 0.7  # share of zeros in the gradient from which units count as dead
ZETA, ETA = 0.03, 0.2  # swing of the accuracy, and how often in the run it swings so far
DELTA = 0.01  # least rise of the accuracy from one epoch to the next
THETA = 0.6  # accuracy that a run must reach
HUGE_LOSS = 1e5

# AutoGAN's dynamic reset (VITA-Group/AutoGAN, functions.py and cfg.py): hinge losses of 500 steps.
STEADY, READINGS = 1e-3, 10


def accuracy_says(trace: Trace) -> list[str]:
    """The rule that one gets everywhere: a discriminator above 99 % has won."""
    values = _values(trace, "accuracy/discriminator")
    sure = len(values) >= 5 and float(np.median(values[-5:])) > 0.99
    return ["discriminator_dominance"] if sure else []


def steady_loss_says(trace: Trace) -> list[str]:
    """AutoGAN's reset: a loss whose variance over the last 500 steps, ten ticks, is below 1e-3.

    Lost: a tick is a mean over its steps and varies less than they do, so it says more here.
    """
    for name in ("loss/generator", "loss/discriminator"):
        values = _values(trace, name)[-READINGS:]
        if len(values) == READINGS and float(values.var()) < STEADY:
            return ["mode_collapse"]
    return []


def autotrainer_says(trace: Trace) -> list[str]:
    """AUTOTRAINER's five problems, with its thresholds, in the order of its code.

    Its accuracy is the discriminator's; an epoch is a tick. As there, gradients are looked at only
    where the accuracy misses THETA or never rises by DELTA, and swings only where it does not.
    Lost: vanishing and exploding are ratios of the first layer's gradient to the last one's; a
    trace has the norm of the whole, so the vanishing ratio (1e-3) falls away and exploding is that
    norm against the same 70. Validation accuracy does not exist.
    """
    losses = [trace.series(f"loss/{player}").values for player in PLAYERS]
    norms = [trace.series(f"gradient_norm/{player}").values for player in PLAYERS]
    found = []
    if any(not np.isfinite(v).all() for v in (*losses, *norms)):
        found.append("non_finite")
    if any(len(v) and v[-1] >= HUGE_LOSS for v in losses):
        found.append("exploding_gradient")
    accuracy = _values(trace, "accuracy/discriminator")
    if len(accuracy) < 3:
        return found
    slow = float(np.diff(accuracy).max()) < DELTA
    if accuracy.max() < THETA or slow:
        found += _gradient_problem(trace, norms) or (["stagnation"] if slow else [])
    elif _swings(accuracy):
        found.append("oscillation")
    return list(dict.fromkeys(found))


def _gradient_problem(trace: Trace, norms: list[NDArray[np.float64]]) -> list[str]:
    """Dead units, then exploding, then vanishing: the first that any reading shows."""
    zeros = [_values(trace, f"gradient_zero/{player}") for player in PLAYERS]
    if any((share >= GAMMA).any() for share in zeros):
        return ["vanishing_gradient"]  # no id of ours is nearer to dead units
    if any((norm > BETA_3).any() for norm in norms):
        return ["exploding_gradient"]
    if any((norm < BETA_2).any() for norm in norms):
        return ["vanishing_gradient"]
    return []


def _swings(accuracy: NDArray[np.float64]) -> bool:
    """Whether paired extremes lie ZETA apart in more than ETA of all epochs."""
    before, here, after = accuracy[:-2], accuracy[1:-1], accuracy[2:]
    highs = here[(here >= before) & (here >= after)]
    lows = here[(here <= before) & (here <= after)]
    pairs = min(len(highs), len(lows))
    return int((highs[:pairs] - lows[:pairs] >= ZETA).sum()) >= ETA * len(accuracy)


def training_doctor_says(trace: Trace) -> list[str]:
    """training-doctor's default detectors, one doctor for each player, fed as its guide says.

    It gets loss, gradient norm and learning rate, a tick as a step. Lost: its windows (20 to 500
    steps) span as many ticks; held-out loss does not exist, so its overfitting detector is silent.
    Told in the order of confidence.
    """
    from training_doctor import Doctor

    said: dict[str, float] = {}
    for player in PLAYERS:
        doctor = Doctor()
        for step, metrics in enumerate(_metrics(trace, player)):
            for diagnosis in doctor.log(step, **metrics):
                failure = _doctors_word(diagnosis)
                said[failure] = max(said.get(failure, 0.0), diagnosis.confidence)
    return sorted(said, key=lambda failure: -said[failure])


def _metrics(trace: Trace, player: str) -> Iterable[dict[str, float]]:
    """Rows of what a doctor logs, for every step at which the player's loss was read."""
    names = {"loss": "loss", "grad_norm": "gradient_norm", "lr": "learning_rate"}
    columns = {key: trace.series(f"{stem}/{player}") for key, stem in names.items()}
    known = {key: dict(zip(c.steps.tolist(), c.values.tolist(), strict=True))
             for key, c in columns.items()}  # fmt: skip
    for step in columns["loss"].steps.tolist():
        yield {key: values[step] for key, values in known.items() if step in values}


def _doctors_word(diagnosis: Any) -> str:
    evidence = " ".join(e.observation.lower() for e in diagnosis.evidence)
    if "nan" in evidence:
        return "non_finite"
    if diagnosis.detector_name == "gradient_instability":
        return "vanishing_gradient" if "vanishing" in evidence else "exploding_gradient"
    named = {"lr_too_high": "divergence", "overfitting": "discriminator_overfitting"}
    return named.get(diagnosis.detector_name, "stagnation")  # lr_too_low, plateau


def torchmortem_says(trace: Trace) -> list[str]:
    """torchmortem's detectors of losses, update ratios and weight norms, on collectors' records.

    Its API attaches to a model only; its detectors are public and read what its collectors stored,
    which is made here from the trace, each network as one layer. Lost: activations, ranks, layers'
    gradients and curvature, hence dead units, saturation, rank collapse, gradient flow and noise.
    Told are warnings and worse, critical ones first.
    """
    from torchmortem.detectors.loss_dynamics import LossDynamicsDetector
    from torchmortem.detectors.update_ratio import UpdateRatioDetector
    from torchmortem.detectors.weight_norm import WeightNormDetector
    from torchmortem.types import RunMetadata, Severity

    detectors = LossDynamicsDetector(), UpdateRatioDetector(), WeightNormDetector()
    findings: list[Any] = []
    for player in PLAYERS:
        states = _collected(trace, player)
        about = RunMetadata(model_name=player, total_steps=trace.last_step)
        for detector in detectors:
            if set(detector.required_collectors) <= set(states):
                findings += detector.analyze(states, about)
    findings = [f for f in findings if f.severity >= Severity.WARNING]
    findings.sort(key=lambda finding: -finding.severity)
    return list(dict.fromkeys(_mortems_word(finding.title) for finding in findings))


def _collected(trace: Trace, player: str) -> dict[str, Any]:
    """What its loss and weight collectors would hold of one player."""
    from torchmortem.types import CollectorState

    loss = trace.series(f"loss/{player}").finite()
    states = {}
    if len(loss):
        smooth = [float(loss.values[0])]
        for value in loss.values[1:]:
            smooth.append(0.1 * float(value) + 0.9 * smooth[-1])  # its collector's average
        series = {"loss": loss.values, "loss_smoothed": np.array(smooth)}
        states["loss"] = CollectorState(name="loss", steps=loss.steps, series=series)
    norm, ratio = (trace.series(f"{s}/{player}") for s in ("parameter_norm", "update_ratio"))
    if len(norm) and len(norm) == len(ratio):
        series = {"weight_norm": norm.values[:, None], "update_ratio": ratio.values[:, None]}
        states["weight"] = CollectorState("weight", norm.steps, [player], series)
    return states


def _mortems_word(title: str) -> str:
    words = {
        "plateau": "stagnation",
        "Stagnant": "stalled_player",
        "too low": "stalled_player",
        "explosion": "divergence",
    }
    return next((word for part, word in words.items() if part in title), "divergence")


def _values(trace: Trace, name: str) -> NDArray[np.float64]:
    return trace.series(name).finite().values


RULES: dict[str, Tool] = {
    "accuracy above 99 %": accuracy_says,
    "steady loss (AutoGAN)": steady_loss_says,
    "AUTOTRAINER's thresholds": autotrainer_says,
}
PACKAGES: dict[str, tuple[str, Tool]] = {  # by the module to import
    "training-doctor": ("training_doctor", training_doctor_says),
    "torchmortem": ("torchmortem", torchmortem_says),
}
ABSENT = [name for name, (m, _) in PACKAGES.items() if importlib.util.find_spec(m) is None]
PEERS: dict[str, Tool] = RULES | {
    name: tool for name, (_, tool) in PACKAGES.items() if name not in ABSENT
}
