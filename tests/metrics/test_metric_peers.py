"""Agreement with other tools on the same features, where they are right; skips where absent."""

import importlib

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.metrics import frechet, inception_score, kernel_distance_subsets
from equipoise.metrics.states import Moments

pytestmark = pytest.mark.filterwarnings("ignore")  # what peers call is not ours to mend


def peer(name):
    """The module, or a skip: peers need torchvision, or a scipy of their time."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError, AttributeError) as error:
        pytest.skip(f"{name} cannot be loaded here: {error}")


class Identity(nn.Module):
    """Features in, features out."""

    def __init__(self, d):
        super().__init__()
        self.num_features = d

    def forward(self, x):
        return x


def pair(n=600, m=500, d=24):
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64) / d**0.5
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.randn(m, d, generator=generator, dtype=torch.float64) @ mix + 0.3


def ours(x, y):
    return frechet(Moments.of(x), Moments.of(y), features="t").value


def statistics(x):
    return x.mean(0).numpy(), np.cov(x.numpy(), rowvar=False)


def test_torchmetrics_frechet():
    module = peer("torchmetrics.image.fid")
    x, y = pair()
    metric = module.FrechetInceptionDistance(feature=Identity(24))
    for real, features in ((True, x), (False, y)):
        for batch in features.split(64):
            metric.update(batch, real=real)
    assert float(metric.compute()) == pytest.approx(ours(x, y), rel=1e-9)


def test_torchmetrics_kernel_distance():
    module = peer("torchmetrics.image.kid")
    x, y = pair(300, 300)
    metric = module.KernelInceptionDistance(feature=Identity(24), subsets=1, subset_size=300)
    metric.update(x, real=True)
    metric.update(y, real=False)
    mine = kernel_distance_subsets(x, y, features="t", subsets=1, size=300)
    assert float(metric.compute()[0]) == pytest.approx(mine.value, rel=1e-5)


def test_torchmetrics_inception_score_of_one_split():
    module = peer("torchmetrics.image.inception")
    x = pair()[0]
    metric = module.InceptionScore(feature=Identity(24), splits=1)
    metric.update(x)
    theirs = float(metric.compute()[0])
    assert theirs == pytest.approx(inception_score(x, classifier="t", splits=1).value, rel=1e-5)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("pytorch_fid.fid_score", "calculate_frechet_distance"),
        ("cleanfid.fid", "frechet_distance"),
    ],
)
def test_scipy_routes(module, function):
    compute = getattr(peer(module), function)
    x, y = pair()
    try:
        theirs = float(compute(*statistics(x), *statistics(y)))
    except TypeError as error:
        pytest.skip(f"{module} fails on this scipy: {error}")
    assert theirs == pytest.approx(ours(x, y), rel=1e-9)


def test_torch_fidelity():
    fid, kid = peer("torch_fidelity.metric_fid"), peer("torch_fidelity.metric_kid")
    isc = peer("torch_fidelity.metric_isc")
    x, y = pair()
    told = [dict(zip(("mu", "sigma"), statistics(v), strict=True)) for v in (y, x)]
    theirs = fid.fid_statistics_to_metric(*told, False)["frechet_inception_distance"]
    assert theirs == pytest.approx(ours(x, y), rel=1e-9)
    options = {"kid_subsets": 7, "kid_subset_size": 100, "rng_seed": 2020, "verbose": False}
    options |= {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_coef0": 1.0}
    options |= {"kid_kernel_poly_gamma": None}
    theirs = kid.kid_features_to_metric(y, x, **options)
    mine = kernel_distance_subsets(x, y, features="t", subsets=7, size=100, seed=2020)
    assert theirs["kernel_inception_distance_mean"] == pytest.approx(mine.value, rel=1e-9)
    assert theirs["kernel_inception_distance_std"] == pytest.approx(mine.parts["spread"], rel=1e-9)
    theirs = isc.isc_features_to_metric(x, splits=7, shuffle=False)
    mine = inception_score(x, classifier="t", splits=7)
    assert theirs["inception_score_mean"] == pytest.approx(mine.value, rel=1e-9)
    assert theirs["inception_score_std"] == pytest.approx(mine.parts["std"], rel=1e-9)
