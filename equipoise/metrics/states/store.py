"""A bounded sample of features, the same whatever order the parts were merged in."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from equipoise.metrics.arrays import Array
from equipoise.metrics.states import wire
from equipoise.metrics.states.checks import admitted, refuse

SLACK = 1024  # rows above the cap that may wait before the store is cut back
_MASK = (1 << 64) - 1


class FeatureStore:
    """A uniform random sample of at most `cap` rows of the features that passed.

    Each sample has a number, its index in the whole data; its key is a 64-bit hash of (seed,
    index), and the `cap` smallest keys stay. So the sample is a function of the seed and of which
    indices were seen alone: batches, processes and the order of merging change nothing. Features
    are kept in the type they came in (16-bit as float32): (cap + 1024 + batch) d numbers at the
    most, and twice that for the moment in which the store is cut back to its cap.

    Args:
        cap: rows kept, at least 1.
        seed: >= 0; another seed, another sample; stores that merge must share it.
        first, step: index of the i-th row of this store is first + i step, unless `update` is
            told. With rank and world size here, the indices are DistributedSampler's.

    Raises:
        ValueError: cap < 1, step < 1, first < 0 or seed < 0.
    """

    def __init__(self, cap: int, seed: int = 0, *, first: int = 0, step: int = 1) -> None:
        if cap < 1 or step < 1 or first < 0 or not 0 <= seed <= _MASK >> 1:
            raise ValueError(
                f"FeatureStore(cap={cap}, seed={seed}, first={first}, step={step}): cap and step"
                " must be at least 1, first at least 0 and seed from 0 to 2^63 - 1; in process r of"
                " w give first=r, step=w"
            )
        self.cap, self.seed, self.first, self.step = cap, seed, first, step
        self.seen = 0
        self._rows: list[Tensor] = []
        self._index: list[np.ndarray] = []
        self._limit: int | None = None  # largest key that stays; None until full

    def update(self, features: Array, index: Array | None = None) -> Self:
        """Take in features (N, d), whose samples have these indices (N,), distinct and >= 0.

        Raises:
            ValueError: another width, a row that is not finite, an index that is negative, of
                another length, or that was seen before and is kept.
        """
        rows = admitted(features, self.d, self.seen)
        which = self._numbers(len(rows)) if index is None else _indices(index, len(rows))
        self.seen += len(rows)
        if self._limit is not None:
            stay = keys(self.seed, which) <= np.uint64(self._limit)
            rows, which = rows[torch.from_numpy(stay).to(rows.device)], which[stay]
        self._append(rows, which)
        return self

    @property
    def d(self) -> int | None:
        """Width of the features; None while there are none."""
        return self._rows[0].shape[1] if self._rows else None

    @property
    def features(self) -> Tensor:
        """The kept rows (min(cap, seen), d), by ascending index, on the CPU.

        Raises:
            ValueError: nothing was seen.
        """
        self._cut()
        if not self._rows:
            raise ValueError("this store saw no features; update it first")
        return self._rows[0]

    @property
    def index(self) -> Tensor:
        """The indices of the kept rows, ascending, int64."""
        self._cut()
        return torch.from_numpy(self._index[0].copy()) if self._index else torch.empty(0).long()

    @property
    def complete(self) -> bool:
        """Whether every row seen is kept, so that nothing is left to chance."""
        return self.seen <= self.cap

    def merge(self, other: FeatureStore) -> Self:
        """Take in what `other` holds; it stays as it is. Either may be fresh.

        Raises:
            ValueError: cap, seed or width differ, or both hold one index.
        """
        out = "make both by FeatureStore(cap, seed) alike"
        refuse("merge", self.cap, other.cap, "cap", out)
        refuse("merge", self.seed, other.seed, "seed", out)
        if self._rows and other._rows:
            refuse("merge", self.d, other.d, "the width", "merge stores of the same features")
        if other._rows:
            self._cut()
            _refuse_shared(np.concatenate([*self._index, other.index.numpy()]))
            self._append(other.features, other.index.numpy())
        self.seen += other.seen
        self._cut()
        return self

    def reduce(self, process_group: Any = None) -> FeatureStore:
        """A new store with the sample of all processes, the same on each; this one stays local.

        Every process must call it, also one that saw nothing. At most 2 cap + 1024 rows are held.

        Raises:
            RuntimeError: torch.distributed is not initialized.
            ValueError: cap or seed differ, or two processes hold one index.
        """
        wire.agree(process_group, [self.cap, self.seed], "FeatureStore.reduce", "cap, seed")
        rank, world = wire.place(process_group)
        whole = FeatureStore(self.cap, self.seed)
        for source in range(world):
            whole.merge(self._sent(source, rank == source, process_group))
        return whole

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on from exactly here."""
        told: dict[str, Any] = {k: getattr(self, k) for k in ("cap", "seed", "first", "step")}
        features = self.features if self._rows else torch.empty(0, 0)
        return {**told, "seen": self.seen, "features": features.clone(), "index": self.index}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the store that `state_dict` told, its cap and seed included.

        Raises:
            ValueError: keys are missing, or features and indices do not fit.
        """
        missing = {"cap", "seed", "first", "step", "seen", "features", "index"} - set(state)
        if missing:
            raise ValueError(
                f"state has no {', '.join(sorted(missing))}; give what FeatureStore.state_dict()"
                " returned"
            )
        fresh = FeatureStore(*(int(state[k]) for k in ("cap", "seed")))
        if len(state["features"]):
            fresh.update(state["features"], state["index"])
        self.__dict__.update(fresh.__dict__)
        self.first, self.step = int(state["first"]), int(state["step"])
        self.seen = int(state["seen"])
        self._cut()
        self._set_limit()

    def save(self, path: str | PathLike[str]) -> None:
        """Write the state to a .npz of plain arrays."""
        arrays: dict[str, Any] = {k: np.asarray(v) for k, v in self.state_dict().items()}
        with open(path, "wb") as file:  # numpy would append .npz to a bare name
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: not such a file.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                state = {k: file[k] for k in file.files}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{path} cannot be read as .npz of plain arrays ({error}); give what"
                " FeatureStore.save wrote"
            ) from error
        store = cls(1)
        store.load_state_dict(state)
        return store

    def _numbers(self, count: int) -> np.ndarray:
        return self.first + self.step * np.arange(self.seen, self.seen + count, dtype=np.int64)

    def _append(self, rows: Tensor, which: np.ndarray) -> None:
        if not len(rows):
            return
        narrow = rows.dtype in (torch.float16, torch.bfloat16)
        # a copy: the caller's batch may be overwritten, and a slice would hold all of it
        self._rows.append(rows.to("cpu", torch.float32 if narrow else rows.dtype, copy=True))
        self._index.append(which)
        if sum(map(len, self._index)) >= self.cap + SLACK:
            self._cut()

    def _cut(self) -> None:
        """Keep the `cap` smallest keys, in one piece, by ascending index."""
        if not self._rows:
            return
        index = np.concatenate(self._index)
        _refuse_shared(index)
        if len(self._rows) == 1 and len(index) <= self.cap and np.all(np.diff(index) > 0):
            return
        stay = np.argsort(keys(self.seed, index))[: self.cap]
        stay = stay[np.argsort(index[stay])]
        self._rows = [torch.cat(self._rows)[torch.from_numpy(stay)]]
        self._index = [index[stay]]
        self._set_limit()

    def _set_limit(self) -> None:
        full = bool(self._index) and len(self._index[0]) == self.cap
        self._limit = int(keys(self.seed, self._index[0]).max()) if full else None

    def _sent(self, source: int, mine: bool, group: Any) -> FeatureStore:
        """The `source`-th process's store, on every process."""
        features = self.features if self._rows else torch.empty(0, 0)
        double = features.dtype == torch.float64
        told = torch.tensor([len(features), self.d or 0, self.seen, double])
        rows, d, seen, double = wire.sent(told, source, group).tolist()
        part = FeatureStore(self.cap, self.seed)
        if rows:
            shape = torch.empty(rows, d, dtype=torch.float64 if double else torch.float32)
            sent = wire.sent(features if mine else shape, source, group)
            index = wire.sent(self.index if mine else torch.empty(rows).long(), source, group)
            part.update(sent, index)
        part.seen = seen
        return part


def keys(seed: int, index: np.ndarray) -> np.ndarray:
    """64-bit hashes of (seed, index): splitmix64's finalizer, one-to-one in the index.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    mixed = index.astype(np.uint64) ^ np.uint64(_mix(seed & _MASK))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def _mix(seed: int) -> int:
    z = (seed + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _indices(index: Array, rows: int) -> np.ndarray:
    which = torch.as_tensor(index).detach().cpu().numpy().astype(np.int64)
    if which.shape != (rows,) or (rows and which.min() < 0):
        raise ValueError(
            f"index has shape {which.shape} and least value {which.min() if which.size else None}:"
            f" must be one number >= 0 for each of the {rows} rows"
        )
    return which


def _refuse_shared(index: np.ndarray) -> None:
    values, counts = np.unique(index, return_counts=True)
    if len(values) < len(index):
        raise ValueError(
            f"sample {int(values[counts > 1][0])} came twice, and {len(index) - len(values)} in"
            " all: an index names one sample; give each process its own, by update(index=...) or"
            " FeatureStore(first=rank, step=world size)"
        )
