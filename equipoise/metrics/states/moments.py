"""Mean and covariance of features that stream by, in constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from os import PathLike
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from equipoise.metrics.arrays import Array
from equipoise.metrics.states import wire
from equipoise.metrics.states.checks import admitted, refuse

FLUSH = 1024  # rows that wait for one matrix product: 5 times cheaper than products of 64 rows
BLOCKS = 8  # column blocks; with them 36 of 64 block products give the lower triangle
Divisor = Literal["n-1", "n"]


class Moments:
    """Count n, mean (d,) and scatter M2 = sum (x - mean)(x - mean)^T of features, in float64.

    Rows wait in a buffer; each 1024 are centred on their own mean, which no offset of the features
    can hurt, and join by Chan's rule: M2 += M2_b + delta delta^T n n_b / (n + n_b), the rule by
    which two states merge. Memory is d (d + 1024) float64 numbers whatever n: 48 MiB at d = 2048.

    Args:
        d: width of the features.
        device: where the sums are kept and taken; float64 must exist there (not on MPS).

    Raises:
        ValueError: d < 1, or a device without float64.

    Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979, eq. 2.1.

    >>> import torch
    >>> state = Moments(2).update(torch.tensor([[0.0, 0.0], [2.0, 4.0]]))
    >>> state.n, state.mean.tolist(), state.covariance().tolist()
    (2, [1.0, 2.0], [[2.0, 4.0], [4.0, 8.0]])
    """

    def __init__(self, d: int, *, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        if d < 1 or self.device.type == "mps":
            raise ValueError(
                f"Moments(d={d}, device={str(device)!r}): d must be at least 1, and the device"
                " must have float64; on MPS leave the device at 'cpu'"
            )
        self.d = d
        self._n: int | None = 0
        self._mean = torch.zeros(d, dtype=torch.float64, device=self.device)
        self._m2 = torch.zeros(d, d, dtype=torch.float64, device=self.device)  # lower triangle
        self._waiting: Tensor | None = None
        self._filled = 0

    @classmethod
    def of(cls, features: Array) -> Self:
        """The moments of features (N, d) in one call."""
        tensor = admitted(features, None, 0)
        return cls(tensor.shape[1]).update(tensor)

    @property
    def n(self) -> int | None:
        """Samples seen; None for published statistics that do not tell."""
        return None if self._n is None else self._n + self._filled

    @property
    def mean(self) -> Tensor:
        """Mean (d,), float64; it costs no matrix product, whatever waits.

        Raises:
            ValueError: no sample.
        """
        self._need(1)
        if self._waiting is None or not self._filled:
            return self._mean.clone()
        gap = self._waiting[: self._filled].mean(dim=0) - self._mean
        return self._mean + gap * (self._filled / (self.n or 1))

    @property
    def scatter(self) -> Tensor:
        """M2 (d, d), float64; the sum, not yet divided. Of statistics without n, the covariance."""
        self._flush()
        full = self._m2.tril()
        edges = [self.d * i // BLOCKS for i in range(BLOCKS + 1)]
        for low, high in itertools.pairwise(edges):  # in blocks that a cache holds
            full[:low, low:high] = full[low:high, :low].T
            corner = full[low:high, low:high]
            corner += corner.tril(-1).T
        return full

    def covariance(self, divisor: Divisor = "n-1") -> Tensor:
        """M2 / (n - 1), as nearly everybody has it, or M2 / n, as StyleGAN has it.

        Statistics without n give the covariance of their file.

        Raises:
            ValueError: another divisor, or fewer samples than it needs (2, or 1 for "n").
        """
        by = self.divided_by(divisor)
        return self.scatter if by is None else self.scatter.div_(by)

    def divided_by(self, divisor: Divisor) -> int | None:
        """n - 1 or n; None for statistics without n.

        Raises:
            ValueError: another divisor, or fewer than 2 samples (1 for "n").
        """
        less = _subtracted(divisor)
        self._need(1 + less)
        return None if self.n is None else self.n - less

    def update(self, features: Array) -> Self:
        """Take in features (N, d) of any float type and device; N = 0 changes nothing.

        Raises:
            ValueError: another width, or a sample that is not finite (it is named by its number
                in this state, and nothing of its batch is taken in); n is unknown.
        """
        if self.n is None:
            raise ValueError(_no_n("take in more features"))
        rows = admitted(features, self.d, self.n)
        while len(rows):
            if self._waiting is None:
                self._waiting = torch.empty(FLUSH, self.d, dtype=torch.float64, device=self.device)
            taken = min(FLUSH - self._filled, len(rows))
            self._waiting[self._filled : self._filled + taken].copy_(rows[:taken])
            self._filled += taken
            rows = rows[taken:]
            if self._filled == FLUSH:
                self._flush()
        return self

    def merge(self, other: Moments) -> Self:
        """Take in what `other` saw; it stays as it is. Either may be fresh.

        Raises:
            ValueError: another width, or n of either is unknown.
        """
        refuse("merge", self.d, other.d, "the width", "merge states of the same features")
        if self.n is None or other.n is None:
            raise ValueError(_no_n("be merged"))
        self._flush()
        other._flush()
        self._join(other._n or 0, other._mean.to(self.device), other._m2.to(self.device))
        return self

    def copy(self) -> Moments:
        """A state of its own with the same numbers."""
        twin = Moments(self.d, device=self.device)
        twin.load_state_dict(self.state_dict())
        return twin

    def reduce(self, process_group: Any = None) -> Moments:
        """A new state with what all processes of a torch.distributed group saw.

        Every process must call it, also one that saw nothing. Three sums: no features travel. This
        state stays local, so that reducing again later counts nothing twice.

        Raises:
            RuntimeError: torch.distributed is not initialized.
            ValueError: widths differ between processes, or n is unknown.
        """
        self._flush()
        wire.agree(process_group, [self.d, self._n is None], "Moments.reduce", "d, n unknown")
        if self._n is None:
            raise ValueError(_no_n("be reduced"))
        sums = torch.cat([self._mean.new_tensor([self._n]), self._mean * self._n])
        sums = wire.total(sums, process_group).to(self.device)
        whole = Moments(self.d, device=self.device)
        whole._n = round(float(sums[0]))
        if whole._n:
            whole._mean = sums[1:] / whole._n
            gap = self._mean - whole._mean
            scatter = torch.addr(self._m2, gap, gap, alpha=self._n)
            whole._m2 = wire.total(scatter, process_group).to(self.device)
        return whole

    def state_dict(self) -> dict[str, Any]:
        """n, mean and M2, to go on from exactly here."""
        return {"n": self.n, "mean": self._flush()._mean.clone(), "m2": self.scatter}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the state that `state_dict` told.

        Raises:
            ValueError: keys are missing, shapes are not (d,) and (d, d), or a value is not finite.
        """
        missing = {"n", "mean", "m2"} - set(state)
        if missing:
            raise ValueError(
                f"state has no {', '.join(sorted(missing))} (it has {', '.join(sorted(state))});"
                " give what Moments.state_dict() returned"
            )
        mean, m2 = _pair(state["mean"], state["m2"], self.d, "state: mean and m2")
        self._n = None if state["n"] is None else int(state["n"])
        self._mean, self._m2 = mean.to(self.device), m2.to(self.device)
        self._filled = 0

    def save(self, path: str | PathLike[str]) -> None:
        """Write mu, sigma (divided by n - 1) and n to a .npz that other tools read too.

        Raises:
            ValueError: fewer than 2 samples.
        """
        sigma, known = self.covariance().cpu().numpy(), self._n is not None
        more: dict[str, Any] = {"n": np.int64(self._n or 0)} if known else {}
        with open(path, "wb") as file:  # numpy would append .npz to a bare name
            np.savez(file, mu=self.mean.cpu().numpy(), sigma=sigma, **more)

    @classmethod
    def load(
        cls, path: str | PathLike[str], *, n: int | None = None, divisor: Divisor = "n-1"
    ) -> Self:
        """Read the layout of published reference statistics: mu (d,), sigma (d, d) and perhaps n.

        Args: n, where the file does not tell it; `divisor` of the file's sigma.

        Raises:
            ValueError: no such keys, shapes that do not fit, values that are not finite, or an n
                that contradicts the file's.
        """
        told = _read(path)
        if "mu" not in told or "sigma" not in told:
            raise ValueError(
                f"{path} holds {', '.join(sorted(told)) or 'nothing'}: must hold mu and sigma, as"
                " published statistics do; if it holds features, give them to Moments.of"
            )
        d = told["mu"].size
        mean, sigma = _pair(told["mu"].reshape(-1), told["sigma"], d, f"{path}: mu and sigma")
        count = _count(path, n, told)
        state = cls(d)
        state._n, state._mean = count, mean
        state._m2 = sigma if count is None else sigma * (count - _subtracted(divisor))
        return state

    def _flush(self) -> Self:
        if self._filled and self._waiting is not None:
            block = self._waiting[: self._filled]
            mean = block.mean(dim=0)
            block -= mean
            count, self._filled = self._filled, 0
            self._join(count, mean, None)
            _add_scatter(self._m2, block)
        return self

    def _join(self, count: int, mean: Tensor, m2: Tensor | None) -> None:
        """Chan's rule; the block's own scatter comes with it, or is added by the caller."""
        assert self._n is not None
        n = self._n + count
        if count == 0:
            return
        gap = mean - self._mean
        self._m2.addr_(gap, gap, alpha=self._n * count / n)
        self._mean += gap * (count / n)
        self._n = n
        if m2 is not None:
            self._m2 += m2

    def _need(self, least: int) -> None:
        if self.n is not None and self.n < least:
            raise ValueError(
                f"this state saw {self.n} samples: the figure asked for needs at least {least};"
                " update it with more"
            )


def _add_scatter(m2: Tensor, block: Tensor) -> None:
    """Add the lower triangle of block^T block, in blocks of columns."""
    d = m2.shape[0]
    edges = [d * i // BLOCKS for i in range(BLOCKS + 1)]
    for low, high in itertools.pairwise(edges):
        if high > low:
            m2[low:high, :high].addmm_(block[:, low:high].T, block[:, :high])


def _subtracted(divisor: str) -> int:
    if divisor not in ("n-1", "n"):
        raise ValueError(f"divisor = {divisor!r}: must be 'n-1' (np.cov's) or 'n' (StyleGAN's)")
    return 1 if divisor == "n-1" else 0


def _pair(mean: Any, square: Any, d: int, what: str) -> tuple[Tensor, Tensor]:
    first = torch.as_tensor(mean).detach().double().clone()
    second = torch.as_tensor(square).detach().double().clone()
    if first.shape != (d,) or second.shape != (d, d):
        raise ValueError(
            f"{what} have shapes {tuple(first.shape)} and {tuple(second.shape)}: must be ({d},) and"
            f" ({d}, {d}); take statistics of the same features"
        )
    if not (torch.isfinite(first).all() and torch.isfinite(second).all()):
        raise ValueError(f"{what} hold NaN or infinity; compute them anew")
    if (second - second.T).abs().max() > 1e-6 * second.abs().max():
        raise ValueError(f"{what}: the matrix is not symmetric; give a covariance, not its factor")
    return first, second


def _read(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            keys = {"mu", "sigma", "n"} & set(file.files)
            return {k: file[k] for k in keys} or {k: np.empty(0) for k in file.files}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read as .npz of plain arrays ({error}); give statistics saved by"
            " Moments.save or np.savez(mu=..., sigma=...); pickles are not opened"
        ) from error


def _count(path: object, n: int | None, told: Mapping[str, np.ndarray]) -> int | None:
    known = int(told["n"]) if "n" in told else None
    if n is not None and known is not None and n != known:
        raise ValueError(f"n = {n}: {path} says {known}; leave n out")
    count = n if known is None else known
    if count is not None and count < 2:
        raise ValueError(f"n = {count}: {path} must come from at least 2 samples; give its n")
    return count


def _no_n(what: str) -> str:
    return (
        f"these statistics do not tell their n and cannot {what}; say it where they are read:"
        " Moments.load(path, n=50000)"
    )
