"""One run over several processes: their readings meet once a tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import distributed

from equipoise.monitor.tick import LARGEST

SUMS = frozenset({"speed/images_per_second"})


@dataclass(frozen=True)
class Plan:
    """What rank 0 decides for all until the next meeting.

    Attributes:
        stride: iterations between readings.
        findings: what is to be announced now, by every rank alike.
    """

    stride: int = 1
    findings: tuple[Any, ...] = ()


class Meeting(NamedTuple):
    """What a meeting ends with: the readings of all ranks as one, and rank 0's plan.

    `whole`: whether every rank's monitor still watches; if not, nobody may meet again.
    """

    values: dict[str, float]
    plan: Plan
    whole: bool


@dataclass(frozen=True)
class _Said:
    values: Mapping[str, float] | None
    plan: Plan = field(default_factory=Plan)


class Ranks:
    """The processes of one run.

    A rank whose monitor failed must still come to the next meeting, with no values: the others
    would wait for it for ever. After that meeting none comes again.
    """

    def __init__(self, group: Any) -> None:
        """`group`: a process group, or True for the default one.

        Raises:
            ValueError: torch.distributed is not set up.
        """
        if not (distributed.is_available() and distributed.is_initialized()):
            raise ValueError(
                f"process_group = {group!r}: torch.distributed is not set up in this process; call"
                " torch.distributed.init_process_group() before, or leave process_group out"
            )
        self._group = None if group is True else group
        self.rank = distributed.get_rank(self._group)
        self.size = distributed.get_world_size(self._group)

    def meet(self, values: Mapping[str, float] | None, plan: Plan) -> Meeting:
        """The one collective of a tick; `values` None: this rank's monitor is off."""
        said: list[Any] = [None] * self.size
        distributed.all_gather_object(said, _Said(values, plan), self._group)
        seen = [one.values for one in said if one.values is not None]
        return Meeting(merged(seen), said[0].plan, len(seen) == self.size)


class Company:
    """This process among those of one run; alone where there is no group.

    Attributes:
        size: processes.
        leads: whether this one decides, judges, probes and writes.
        told: what rank 0 found and all announce now.
        pending: what this one found and is announced at the next meeting.
    """

    def __init__(self, group: Any) -> None:
        """`group`: as of `Ranks`, or None.

        Raises:
            ValueError: torch.distributed is not set up.
        """
        self._ranks = None if group is None else Ranks(group)
        self.size = 1 if self._ranks is None else self._ranks.size
        self.leads = self._ranks is None or self._ranks.rank == 0
        self.told: tuple[Any, ...] = ()
        self.pending: list[Any] = []

    @property
    def together(self) -> bool:
        """Whether others still come to the meetings."""
        return self._ranks is not None

    def meet(self, values: Mapping[str, float], stride: int) -> Meeting:
        """The readings of all ranks and rank 0's plan, of which `stride` is this one's wish."""
        ranks, self._ranks = self._ranks, None  # should this fail, it must not meet again
        assert ranks is not None
        met = ranks.meet(values, Plan(stride, tuple(self.pending)))
        self.told, self.pending = met.plan.findings, []
        if met.whole:
            self._ranks = ranks
        else:
            self.leads = True
        return met

    def part(self) -> None:
        """This rank's monitor is off: the others, who wait for it, learn it and go on alone."""
        ranks, self._ranks = self._ranks, None
        if ranks is not None:
            ranks.meet(None, Plan())

    def announced(self, found: list[Any]) -> list[Any]:
        """What to announce now; in company what was found before, by all alike."""
        if not self.together:
            return found
        self.pending += found
        told, self.told = list(self.told), ()
        return told


def merged(seen: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Readings of several ranks as one: means over those that have them.

    Extremes are the largest, rates add up, and the share that watching cost is that of the rank
    that paid most. A NaN of one rank stays.
    """
    names = dict.fromkeys(name for values in seen for name in values)
    return {name: _one(name, [v[name] for v in seen if name in v]) for name in names}


def _one(name: str, values: Sequence[float]) -> float:
    if any(value != value for value in values):
        return float("nan")
    if name in LARGEST or name == "cost/monitor":
        return max(values)
    return sum(values) if name in SUMS else sum(values) / len(values)
