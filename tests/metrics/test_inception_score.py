"""The Inception Score: closed forms, the conventional splits, an interval."""

import math

import numpy as np
import pytest
import torch

from equipoise.metrics import inception_score


def logits(n, classes, seed, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, classes, generator=generator, dtype=torch.float64)


def slow(rows, splits):
    """The definition, in Python floats."""
    scores = []
    n = len(rows)
    for i in range(splits):
        part = rows[i * n // splits : (i + 1) * n // splits].tolist()
        p = []
        for row in part:
            top = max(row)
            e = [math.exp(v - top) for v in row]
            p.append([v / sum(e) for v in e])
        marginal = [sum(column) / len(p) for column in zip(*p, strict=True)]
        kl = [sum(a * math.log(a / b) for a, b in zip(r, marginal, strict=True)) for r in p]
        scores.append(math.exp(sum(kl) / len(kl)))
    return scores


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_it_is_the_definition(splits):
    x = logits(47, 6, 0)
    scores = slow(x, splits)
    measure = inception_score(x, classifier="t", splits=splits)
    assert measure.value == pytest.approx(np.mean(scores), rel=1e-12)
    assert measure.parts["std"] == pytest.approx(np.std(scores), rel=1e-9, abs=1e-12)
    assert measure.parts["all"] == pytest.approx(slow(x, 1)[0], rel=1e-12)
    assert measure.name == "inception_score_t"


@pytest.mark.parametrize("c", [1, 2, 10])
def test_confident_equiprobable_classes_score_their_number(c):
    x = -1e4 * torch.ones(20 * c, 10)
    x[torch.arange(20 * c), torch.arange(20 * c) % c] = 1e4
    measure = inception_score(x, classifier="t", splits=2)
    assert measure.value == pytest.approx(c, rel=1e-12)
    assert measure.error == pytest.approx(0, abs=1e-12)
    certain = torch.nn.functional.one_hot(torch.arange(20 * c) % c, 10)
    assert inception_score(
        certain, classifier="t", splits=2, probabilities=True
    ).value == pytest.approx(c, rel=1e-12)


def test_noise_scores_one():
    assert inception_score(torch.zeros(30, 10), classifier="t").value == pytest.approx(1)


def test_eleven_samples_make_ten_splits():
    # torch.chunk, which peers use, would make 6
    x = logits(11, 4, 1)
    assert inception_score(x, classifier="t").value == pytest.approx(np.mean(slow(x, 10)))


def test_a_constant_added_to_all_logits_changes_nothing():
    x = logits(40, 5, 2)
    shifted = x + 1000 * logits(40, 1, 3)
    one, other = (inception_score(v, classifier="t") for v in (x, shifted))
    assert other.value == pytest.approx(one.value, rel=1e-10)


def test_probabilities_are_their_logits():
    x = logits(40, 5, 4)
    given = inception_score(x.softmax(dim=1), classifier="t", probabilities=True)
    assert given.value == pytest.approx(inception_score(x, classifier="t").value, rel=1e-10)


def test_the_error_is_the_spread_of_the_mean():
    found = [inception_score(logits(400, 5, r), classifier="t") for r in range(120)]
    spread = np.std([m.value for m in found], ddof=1)
    assert 0.8 < np.mean([m.error for m in found]) / spread < 1.2


def test_one_split_has_no_error():
    measure = inception_score(logits(9, 3, 0), classifier="t", splits=1)
    assert measure.error is None
    assert measure.parts["std"] == 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_logits_are_raised(kind):
    x = logits(30, 5, 5).to(kind)
    assert inception_score(x, classifier="t").value == pytest.approx(np.mean(slow(x, 10)))


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda x: inception_score(x, classifier="t", splits=10), "splits = 10 of 9 samples"),
        (lambda x: inception_score(x, classifier="t", splits=0), "splits = 0"),
        (lambda x: inception_score(x[:, :1], classifier="t", splits=3), "with 1 classes"),
        (lambda x: inception_score(x * math.nan, classifier="t", splits=3), "row 0 holds NaN"),
        (
            lambda x: inception_score(x, classifier="t", splits=3, probabilities=True),
            "must be >= 0 and sum to 1; for logits leave probabilities=False",
        ),
    ],
)
def test_what_is_no_classifier_s_output_is_refused(act, said):
    with pytest.raises(ValueError, match=said):
        act(logits(9, 3, 0))
