"""The Inception Score of a classifier's logits."""

from __future__ import annotations

import math

from torch import Tensor

from equipoise.metrics.arrays import Array, rows
from equipoise.metrics.measure import Measure, with_error

SPLITS = 10


def inception_score(
    logits: Array, *, classifier: str, splits: int = SPLITS, probabilities: bool = False
) -> Measure:
    """exp(mean KL(p(y|x) || p(y))) over logits (N, K), the mean of `splits` parts; in [1, K].

    Part i is samples i N // splits to (i + 1) N // splits, in the order given, each with its own
    p(y). parts["std"], the population standard deviation over parts, is what papers print behind
    +-; the error here is that of the mean over parts, s / sqrt(splits). Published scores take the
    2015 Inception's 1008 logits without bias (that is the caller's) of 50,000 samples. Few samples
    score too low, by about (K - 1) / 2N of the log a part, so n is part of the convention. It never
    sees a real sample: fakes of one image a class score K.

    Parts: std, all (the score of all samples as one part).

    Args: `probabilities`: the rows are p(y|x) and sum to 1.

    Raises:
        ValueError: splits < 1 or above N, fewer than 2 classes, a row that is not finite, rows
            that are no probabilities.

    Source: Salimans et al., arXiv 1606.03498, section 4; splits as in its code.
    """
    x = rows(logits, "logits")
    n, classes = x.shape
    if not 1 <= splits <= n or classes < 2:
        raise ValueError(
            f"splits = {splits} of {n} samples with {classes} classes: splits must be 1 to the"
            " number of samples, classes at least 2; lower splits"
        )
    log_p = _logs(x) if probabilities else x.log_softmax(dim=1)
    scores = [_score(log_p[i * n // splits : (i + 1) * n // splits]) for i in range(splits)]
    mean = math.fsum(scores) / splits
    squares = math.fsum((s - mean) ** 2 for s in scores)
    error = math.sqrt(squares / (splits - 1) / splits) if splits > 1 else math.nan
    return with_error(
        f"inception_score_{classifier}",
        mean,
        error,
        convention={"classifier": classifier, "splits": splits, "bias": "n", "n_fake": n},
        parts={"std": math.sqrt(squares / splits), "all": _score(log_p)},
    )


def _score(log_p: Tensor) -> float:
    p = log_p.exp()
    marginal = p.mean(dim=0)
    entropy = (p * log_p).nan_to_num(nan=0.0).sum(dim=1).mean()  # 0 log 0 = 0
    return math.exp(float(entropy - (marginal * marginal.log()).nan_to_num(nan=0.0).sum()))


def _logs(x: Tensor) -> Tensor:
    off = (x.sum(dim=1) - 1).abs()
    if float(off.max()) > 1e-3 or float(x.min()) < 0:
        worst = int(off.argmax())
        raise ValueError(
            f"logits: row {worst} sums to {float(x[worst].sum()):.4g} and the least entry is"
            f" {float(x.min()):.3g}: probabilities must be >= 0 and sum to 1; for logits leave"
            " probabilities=False"
        )
    return (x / x.sum(dim=1, keepdim=True)).log()
