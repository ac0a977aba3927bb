"""A player does not learn."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.windows import FEWEST, late_median
from equipoise.clinic.wiring import at, audited, wrong
from equipoise.record import Evidence, Finding, Series, Trace

DEAD_RATE = 1e-12  # below it an update changes no float32 weight of ordinary size
# Relative update below which a float32 weight of the layer's own size rounds back to itself: half a
# unit in the last place, 2^-24. Healthy runs read 1e-3 to 1e-1, and less only where a cosine ends.
UNSEEN = 2.0**-24
# Path of a generator over the whole run, in lengths of its weights: the sum of its updates'
# relative sizes. Healthy runs go 1.7 to 208 of them; a random start is not left within a twentieth.
# That it is no fine-tuning says the discriminator, whose path is at least `APART` times as long.
# One that is pulled at by less than `PULLED` has nothing to follow: a vanishing gradient.
PULLED = 1e-6
PATH, APART, ENOUGH = 0.05, 20.0, 500
ALL, AT_END = 0.999, 0.95  # shares of a gradient's zeros, and of outputs at an end
STILL = 3  # rows, times the player's own cadence, that it must stand still while another moves
NEVER_STEPS = ("average", "ema")  # players that are not expected to step


def stalled_player(trace: Trace) -> Finding | None:
    """No updates while another player has them, updates that move nothing, or a dead learning rate.

    A generator that is pulled at and whose whole path stays within a twentieth of its weights does
    not learn either, while the discriminator goes twenty times as far.
    An update that comes seldom is none: the pause must last `STILL` times the longest one before.
    Looks like equilibrium, where updates still move the weights; a schedule that ends at 0 is none,
    because it is dead in the last reading alone; a gradient that is exactly 0 behind a saturated
    output or beyond a hinge's margins is none; updates that a gradient scaler skips are none,
    while its scale falls. Before `adversarial_start` a still discriminator is normal.
    """
    found = _audited(trace)
    if found is not None:
        return found
    for player in _players(trace):
        finding = _never_steps(trace, player) or _moves_nothing(trace, player)
        finding = finding or _creeps(trace, player)
        if finding is not None:
            return finding
    return None


AUDITED = {
    "never_stepped": "gradients come, and its optimizer never steps: call its step()",
    "dead_rate": "its learning rate is 0{at}: look at the optimizer's lr and the schedule",
    "frozen": "none of its parameters asks for a gradient{at}: call requires_grad_(True)",
    "erased": "its gradient is zeroed between backward and step{at}: move zero_grad() before the"
    " backward pass",
    "no_gradient": "its step finds no gradient{at}: call backward() on its loss before",
    "unmoved": "its updates change no weight{at}: look at the learning rate and what is clipped",
}


def _audited(trace: Trace) -> Finding | None:
    """What the wiring audit saw standing still."""
    for told in audited(trace, "stuck"):
        words = AUDITED.get(told.get("check", ""))
        if words is not None:
            summary = f"The {told['player']} does not learn: {words.format(at=at(told['where']))}."
            return wrong(trace, "stalled_player", summary, "stuck", 1.0, "0 players")
    return None


def _players(trace: Trace) -> list[str]:
    stems = ("updates/", "update_ratio/", "learning_rate/")
    names = {n.partition("/")[2] for n in trace.signals if n.startswith(stems)}
    return sorted(n for n in names if n not in NEVER_STEPS)


def _active(trace: Trace, player: str, name: str) -> Series:
    """The signal from the step on at which the player is meant to learn."""
    series = trace.series(f"{name}/{player}")
    role = (trace.header.get("roles") or {}).get(player, player)
    start = int(trace.header.get("adversarial_start") or 0) if role == "discriminator" else 0
    return series.since(start)


def _never_steps(trace: Trace, player: str) -> Finding | None:
    updates = _active(trace, player, "updates").finite()
    if len(updates) < STILL:
        return None
    rises = np.flatnonzero(np.diff(updates.values) > 0) + 1
    first = int(rises[-1]) if len(rises) else 0
    cadence = int(np.diff(rises, prepend=0).max(initial=1))
    if len(updates) - first < STILL * cadence:
        return None
    since = int(updates.steps[first])
    if _skipped(trace, since):
        return None
    others = [_active(trace, p, "updates").since(since) for p in _players(trace) if p != player]
    most = max((float(np.ptp(o.finite().values)) for o in others if len(o.finite())), default=0.0)
    if most == 0:
        return None
    evidence = Evidence(
        f"updates/{player}",
        float(updates.values[-1]),
        f"rising, as the other player's does (+{most:.0f})",
        (since, int(updates.steps[-1])),
        "last",
    )
    return _finding(player, since, f"its optimizer has not stepped since step {since}", evidence)


def _skipped(trace: Trace, since: int) -> bool:
    """Whether a gradient scaler is skipping updates: each that it skips lowers its scale."""
    scales = [trace.series(n).finite() for n in trace.signals if n.startswith("loss_scale/")]
    return any(
        len(held := scale.since(since)) > 1 and held.values[-1] < held.values[0] for scale in scales
    )


def _creeps(trace: Trace, player: str) -> Finding | None:
    """A generator whose updates are so small that the whole run leads nowhere."""
    path = _path(trace, player)
    others = [_path(trace, p) for p in _players(trace) if p != player]
    count = trace.series(f"updates/{player}").last
    if player != "generator" or not others or not count >= ENOUGH:
        return None
    if late_median(trace, "pull/norm") < PULLED:
        return None
    if not (0 < path <= PATH and max(others) >= APART * path):
        return None
    ratio = trace.series(f"update_ratio/{player}").finite()
    span = (int(ratio.steps[0]), int(ratio.steps[-1]))
    expected = f"above {PATH / count:.2g}, which in {count:.0f} updates leaves the start"
    value = float(np.median(ratio.values))
    evidence = Evidence(f"update_ratio/{player}", value, expected, span)
    words = f"in {count:.0f} updates since step {span[0]} it has moved by {path:.1%} of its size"
    return _finding(player, span[0], words, evidence)


def _path(trace: Trace, player: str) -> float:
    ratio = trace.series(f"update_ratio/{player}").finite().values
    count = trace.series(f"updates/{player}").last
    return float(np.mean(ratio)) * count if len(ratio) else 0.0


def _starved(trace: Trace, player: str) -> bool:
    """Whether no gradient reaches its weights, as far as it can come: at an end, or once it moved.

    Behind a saturated output, or beyond both margins of a hinge, a gradient is exactly 0: that
    player is wired well, and what brought it there is another finding.
    """
    if not late_median(trace, f"gradient_zero/{player}") >= ALL:
        return False
    moved = trace.series(f"update_ratio/{player}").finite().values
    ends = ("saturation/fake", "logits/silent")
    return bool((moved > UNSEEN).any()) or any(late_median(trace, n) >= AT_END for n in ends)


def _moves_nothing(trace: Trace, player: str) -> Finding | None:
    if _starved(trace, player):
        return None
    causes = (
        ("update_ratio", UNSEEN, "its updates change no weight (below 2^-24 of it)"),
        ("learning_rate", DEAD_RATE, f"its learning rate is below {DEAD_RATE:g}"),
    )
    for name, limit, words in causes:
        series = _active(trace, player, name).finite()
        alive = np.flatnonzero(series.values > limit)
        first = int(alive[-1]) + 1 if len(alive) else 0
        enough = max(FEWEST, len(series) // 10)
        if len(series) - first >= enough:
            since = int(series.steps[first])
            span = (since, int(series.steps[-1]))
            value = float(series.values[first:].max())
            evidence = Evidence(f"{name}/{player}", value, f"above {limit:g}", span, "maximum")
            return _finding(player, since, f"{words} since step {since}", evidence)
    return None


def _finding(player: str, since: int, words: str, evidence: Evidence) -> Finding:
    summary = f"The {player} does not learn: {words}."
    return Finding("stalled_player", 0.97, since, summary, (evidence,))
