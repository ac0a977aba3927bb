"""What others call our signals: one table of patterns, tried in order on the squashed name.

A name is squashed to lower-case letters and digits ("Loss_D" and "loss/d" are both "lossd"), then
held against the patterns, the whole name at once. The earlier entry wins where two names of one log
mean the same signal.
"""

from __future__ import annotations

import re
from functools import lru_cache

_D = r"(?:d|dis|disc|discrim|discriminator|critic|netd)"
_G = r"(?:g|gen|generator|netg)"
_LOSS = r"(?:loss|losses|err|error|cost)"
_TERM = r"(?:gan|adv|adversarial|hinge)"
_LOGIT = r"(?:score|scores|logit|logits)"
_NORM = r"(?:gradnorm|gradientnorm)"
_BEFORE = r"(?:train|training|trn|avg|average|mean|running|total|current|losses|loss|gan|ganloss)*"
_AFTER = r"(?:avg|average|mean|step|epoch|total|value|raw)*"
_METRIC = r"(?:metric|metrics|results|result|eval|evaluation|val|valid|test|scores)*"


def _train(pattern: str) -> str:
    return f"{_BEFORE}(?:{pattern}){_AFTER}"


def _on(side: str) -> str:
    """The discriminator's loss on one side: d_loss_real, d_real_loss, loss_d_real, real_d_loss."""
    return _train(
        rf"{_D}{_LOSS}{side}|{_D}{side}{_LOSS}|{_LOSS}{_D}{side}|{_LOSS}{side}{_D}|{side}{_D}{_LOSS}"
    )


# "?score" and "?part" are names whose meaning the values decide (see `columns`).
_TABLE: tuple[tuple[str, str], ...] = (
    (_train(rf"{_D}{_LOSS}|{_LOSS}{_D}{_LOSS}?"), "loss/discriminator"),
    (_train(rf"{_G}{_LOSS}|{_LOSS}{_G}{_LOSS}?"), "loss/generator"),
    (_train(rf"{_D}{_TERM}{_LOSS}|{_LOSS}{_D}{_TERM}|{_D}gan"), "loss/discriminator"),
    (_train(rf"{_G}{_TERM}{_LOSS}|{_LOSS}{_G}(?:{_TERM}|fake)|{_G}gan"), "loss/generator"),
    (_train(rf"(?:adv|adversarial){_LOSS}"), "loss/generator"),
    (_train(rf"(?:rec|recon|reconstruction|nll){_LOSS}"), "loss/reconstruction"),
    (_train(rf"(?:mel|melspec|melspectrogram){_LOSS}"), "loss/reconstruction"),
    (_train(rf"(?:cycle|cyc|l1|gl1){_LOSS}|gl1|cyclea"), "loss/reconstruction"),
    (_train(rf"(?:p|perceptual|lpips|vgg){_LOSS}"), "loss/perceptual"),
    (_train(rf"(?:quant|vq|codebook){_LOSS}"), "loss/codebook"),
    (_on("real"), "loss_on_real/discriminator"),
    (_on("fake"), "loss_on_fake/discriminator"),
    (_train(rf"{_D}real"), "?part/real"),
    (_train(rf"{_D}fake"), "?part/fake"),
    (_train(r"dx|realscore|scorereal|realvalidity|predreal"), "?score/real"),
    (_train(r"dgz1?|fakescore|scorefake|fakevalidity|predfake"), "?score/fake"),
    (_train(rf"{_D}?(?:{_LOGIT}real|real{_LOGIT})"), "logits/real/mean"),
    (_train(rf"{_D}?(?:{_LOGIT}fake|fake{_LOGIT})"), "logits/fake/mean"),
    (_train(r"signsreal"), "sign_rate/real"),
    (_train(rf"{_D}acc|{_D}accuracy|acc{_D}|accuracy{_D}"), "accuracy/discriminator"),
    (_train(rf"{_D}{_LOSS}?{_NORM}|{_NORM}{_D}"), "gradient_norm/discriminator"),
    (_train(rf"{_G}{_LOSS}?{_NORM}|{_NORM}{_G}"), "gradient_norm/generator"),
    (_train(rf"{_D}lr|lr{_D}|learningrate{_D}"), "learning_rate/discriminator"),
    (_train(rf"{_G}lr|lr{_G}|learningrate{_G}"), "learning_rate/generator"),
    (r"da", "loss/discriminator"),  # CycleGAN names its players by domain
    (r"ga", "loss/generator"),
    (rf"(?:train)?(?:dweight|(?:{_D}|gan)?adaptiveweight)", "adaptive_weight"),
    (rf"{_METRIC}fid(?:\d+k)?(?:full|train|test|val|valid)?(?:score|mean|avg)?", "metric/fid"),
    (rf"{_METRIC}kid(?:\d+k)?(?:full)?(?:score|mean)?", "metric/kid"),
    (rf"{_METRIC}(?:is|is\d+k|inception)(?:score)?(?:mean)?(?:\d+k)?", "metric/inception_score"),
    (rf"{_METRIC}(?:improved)?precision", "metric/precision"),
    (rf"{_METRIC}(?:improved)?recall", "metric/recall"),
    (rf"{_METRIC}density", "metric/density"),
    (rf"{_METRIC}coverage", "metric/coverage"),
)
_PATTERNS = tuple((re.compile(pattern), ours) for pattern, ours in _TABLE)

_STEPS = (
    "step steps globalstep trainerglobalstep iter iters iteration iterations itr it niter nbiter"
    " curiter totalsteps curstep"
)
COUNTERS: dict[str, str] = {
    **dict.fromkeys(_STEPS.split(), "step"),
    **dict.fromkeys(("epoch", "epochs", "epochnum", "curepoch"), "epoch"),
    **dict.fromkeys(("batch", "batchidx", "batchindex", "minibatch"), "batch"),
    **dict.fromkeys(("kimg", "progresskimg", "curkimg"), "kimg"),
    **dict.fromkeys(("elapsed", "seconds", "runtime", "timingtotalsec"), "seconds"),
    **dict.fromkeys(("stamp", "timestamp", "walltime"), "timestamp"),
}

OBJECTIVES: dict[str, str] = {
    **dict.fromkeys(("hinge", "geometrichinge"), "hinge"),
    **dict.fromkeys(("vanilla", "logistic", "bce", "nonsaturating", "ns"), "non_saturating"),
    **dict.fromkeys(("lsgan", "leastsquares", "leastsquare", "ls", "mse"), "least_squares"),
    **dict.fromkeys(("wasserstein", "wgan", "wgangp", "w"), "wasserstein"),
    **dict.fromkeys(("relativistic", "rpgan", "rsgan", "rgan"), "relativistic"),
    **dict.fromkeys(("minimax", "saturating"), "minimax"),
}

_QUALIFIERS = frozenset({"val", "valid", "validation", "test", "eval", "best"})
_PARTS = frozenset({"real", "fake", "min", "max", "std", "aux", "reg", "class", "cls"})


@lru_cache(8192)
def squash(name: str) -> str:
    """Lower-case letters and digits alone."""
    return "".join(c for c in name.lower() if c.isalnum())


@lru_cache(8192)
def rank_of(name: str) -> tuple[int, str] | None:
    """The table's row and our name for a foreign one, None where the table has no word for it."""
    name = name.rsplit(" - ", 1)[-1]  # "run-12 - d_loss" in a table of several runs
    if name.endswith(("__MIN", "__MAX")):
        return None
    short = squash(name)
    if len(short) > 60:  # the patterns backtrack, and no log names a loss so
        return None
    for row, (pattern, ours) in enumerate(_PATTERNS):
        if pattern.fullmatch(short):
            return row, ours
    return None


@lru_cache(8192)
def counter_of(name: str) -> str | None:
    """What the name counts: step, epoch, batch, kimg, seconds or timestamp; None if nothing."""
    return COUNTERS.get(squash(name))


def known_end(words: list[str]) -> str | None:
    """The longest end of a run of words that the table knows: ["INFO", "D", "loss"] -> "D loss".

    Words in front that change the meaning ("best FID", "val D loss") leave nothing known.
    """
    for start in range(len(words)):
        name = " ".join(words[start:])
        if rank_of(name) or counter_of(name):
            ahead = {squash(word) for word in words[:start]}
            return None if ahead & (_QUALIFIERS | _PARTS) else name
    return None


def pair_of(name: str) -> tuple[str, str] | None:
    """For "Gen/Dis Loss" the two names "Gen Loss" and "Dis Loss"; None for another name."""
    first, slash, rest = name.partition("/")
    second, _, tail = rest.partition(" ")
    words = first.split()
    if not slash or not words or not second:
        return None
    stem = tail or " ".join(words[:-1])
    both = (f"{words[-1]} {stem}", f"{second} {stem}")
    return both if all(rank_of(n) for n in both) else None
