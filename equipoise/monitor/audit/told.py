"""What the audit saw, as facts: leaks, players that stand still, generators without a gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from equipoise.monitor.audit.arrivals import Arrivals, Backward, Unit, Update
from equipoise.monitor.audit.calls import Call

DEAD_RATE = 1e-12  # below it an update changes no float32 weight of ordinary size


def leaks(arrivals: Arrivals, calls: list[Call]) -> list[dict[str, Any]]:
    """Gradients that an update consumed though they were meant for another.

    Stale: the same optimizer's update before consumed them already. Foreign: another role's update
    consumed them too, they came through the discriminator's samples, and this update had a
    gradient of its own beside them; a joint backward pass is all that its updates consume.
    """
    found: list[dict[str, Any]] = []
    units = {unit.name: unit for unit in arrivals.units}
    for unit in arrivals.units:
        for update in unit.updates:
            found += [_stale(update, r) for r in update.stale if _own(r, unit, units)][:1]
            for record in [*update.consumed, *update.stale]:
                other = _rightful(record, unit, update, units)
                if other is not None and _through_samples(record, calls):
                    found.append(_foreign(update, record, other, calls))
                    break
    return _distinct(found)


def _own(record: Backward, unit: Unit, units: dict[str, Unit]) -> bool:
    """Whether no other role has consumed it: else it is told as foreign."""
    return all(units[name].roles & unit.roles for name in record.consumed)


def _rightful(record: Backward, unit: Unit, update: Update, units: dict[str, Unit]) -> Unit | None:
    """The unit for which a shared backward pass was meant, None where it was meant for this one."""
    others = [units[n] for n in record.consumed if not units[n].roles & unit.roles]
    if not others or not _beside(update, unit, units):
        return None
    other = others[0]
    theirs = other.updates[record.consumed[other.name] - 1]
    first = next(iter(record.consumed)) == unit.name
    return None if first and _beside(theirs, other, units) else other


def _beside(update: Update, unit: Unit, units: dict[str, Unit]) -> bool:
    """Whether an update consumed a backward pass that no other role's update consumed."""
    return any(_own(record, unit, units) for record in [*update.consumed, *update.stale])


def _through_samples(record: Backward, calls: list[Call]) -> bool:
    """Whether the pass went through a discriminator into its samples; so it is if none is seen."""
    with_logits = [c for c in calls if record.task in c.tasks()]
    return not calls or any(c.linked for c in with_logits)


def _stale(update: Update, record: Backward) -> dict[str, Any]:
    return {
        "check": "stale",
        "player": update.unit,
        "update": update.number,
        "where": update.where,
        "backward": record.where,
    }


def _foreign(update: Update, record: Backward, other: Unit, calls: list[Call]) -> dict[str, Any]:
    judged = [c.where for c in calls if record.task in c.tasks() and c.linked and c.where]
    return {
        "check": "foreign",
        "player": update.unit,
        "other": other.name,
        "other_role": sorted(other.roles)[0],
        "update": update.number,
        "where": update.where,
        "backward": record.where,
        "call": judged[0] if judged else "",
    }


def stuck(
    units: list[Unit], steps: int, over: bool, begun: bool, zeroed: bool
) -> list[dict[str, Any]]:
    """Players that did not move, each with the reason."""
    most = max((len(u.updates) for u in units), default=0)
    found = []
    for unit in units:
        if unit.roles == {"discriminator"} and not begun:
            continue
        seen = unit.updates
        where = seen[-1].where if seen else ""
        if not seen and over and most >= steps and unit.arrivals:
            found.append({"check": "never_stepped", "player": unit.name, "where": ""})
        elif len(seen) >= steps and not any(u.moved for u in seen):
            check = _why_still(seen, unit)
            if check is not None and not (zeroed and check == "no_gradient"):
                found.append({"check": check, "player": unit.name, "where": where})
    return found


def _why_still(updates: list[Update], unit: Unit) -> str | None:
    """Why no update moved anything; None where it is told elsewhere."""
    if all(u.rate < DEAD_RATE for u in updates):
        return "dead_rate"
    if all(u.frozen for u in updates):
        return "frozen"
    if all(u.empty and u.arrived for u in updates):
        return "erased"
    if all(u.empty for u in updates):
        return None if "generator" in unit.roles else "no_gradient"
    return "rounded" if all(u.half for u in updates) else "unmoved"


def starved(arrivals: Arrivals, calls: list[Call], steps: int) -> list[dict[str, Any]]:
    """Generators whose updates met no gradient, or none from the discriminator."""
    found = []
    for unit in arrivals.units:
        if unit.roles != {"generator"}:
            continue
        seen = unit.updates
        if len(seen) >= steps and all(u.empty and not u.arrived and not u.frozen for u in seen):
            lost = _judged_in_vain(arrivals, calls)
            where = {"where": seen[-1].where, "call": lost}
            found.append({"check": "none", "player": unit.name, **where})
        found += [_cut(u, r, calls) for u in seen for r in u.consumed if _is_cut(r, unit, calls)]
    return _distinct(found)


def _judged_in_vain(arrivals: Arrivals, calls: list[Call]) -> str:
    """Line of a call whose logits got a gradient that no update consumed."""
    for call in calls:
        records = [arrivals.backwards.get(task) for task in call.tasks()]
        if any(r is not None and not r.consumed for r in records) and not call.linked:
            return call.where
    return ""


def _is_cut(record: Backward, unit: Unit, calls: list[Call]) -> bool:
    """Whether a generator's backward pass met logits of which none leads on to its samples."""
    if set(record.consumed) != {unit.name}:
        return False
    judged = [c for c in calls if record.task in c.tasks()]
    return bool(judged) and not any(c.linked for c in judged)


def _cut(update: Update, record: Backward, calls: list[Call]) -> dict[str, Any]:
    judged = [c.where for c in calls if record.task in c.tasks()]
    return {"check": "cut", "player": update.unit, "where": update.where, "call": judged[-1]}


def _distinct(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One of each check, player and line."""
    told: dict[tuple[Any, ...], dict[str, Any]] = {}
    for item in found:
        told.setdefault((item["check"], item["player"], item["where"]), item)
    return list(told.values())
