import math

import pytest
import torch

from equipoise.data import Mixture, generator_for, grid, open_source, ring


@pytest.mark.parametrize(("make", "modes"), [(ring, 8), (grid, 25)])
def test_the_toys_have_unit_standard_deviation_and_mean_zero(make, modes):
    mixture = make()
    assert mixture.centers.shape == (modes, 2)
    centers = mixture.centers.double()
    variance = centers.square().mean(dim=0) + mixture.sigma**2  # exact: equal shares
    assert torch.allclose(variance, torch.ones(2, dtype=torch.float64), atol=1e-6)
    assert centers.mean(dim=0).abs().max() < 1e-6
    sample = mixture.sample(generator_for(0, "data", 0), 40000)
    assert (sample.std(dim=0) - 1).abs().max() < 0.02


def test_scaling_is_the_documented_formula():
    assert ring().scale == pytest.approx(1 / math.sqrt(0.5 + 0.01**2))
    assert ring().sigma == pytest.approx(0.01 * ring().scale)
    assert grid().scale == pytest.approx(1 / math.sqrt(8 + 0.05**2))
    assert grid().centers.abs().max() == pytest.approx(4 * grid().scale)


def test_modes_are_distinct():
    for mixture in (ring(), grid()):  # a duplicated end point would make the ring one of 7
        apart = torch.cdist(mixture.centers, mixture.centers)
        apart.fill_diagonal_(9)
        assert apart.min() > 20 * mixture.sigma


def test_mode_shares_are_equal():
    mixture = ring()
    sample = mixture.sample(generator_for(1, "data", 0), 8000)
    counts = torch.bincount(torch.cdist(sample, mixture.centers).argmin(dim=1), minlength=8)
    statistic = ((counts - 1000.0) ** 2 / 1000).sum()
    assert statistic < 24.3  # chi-squared with 7 degrees of freedom, p = .001


def test_log_density_is_the_slow_sum():
    mixture = Mixture(torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]]), sigma=0.7)
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0], [-3.0, 0.4]])
    for point, value in zip(x.tolist(), mixture.log_density(x).tolist(), strict=True):
        total = 0.0
        for c in mixture.centers.tolist():
            square = sum((a - b) ** 2 for a, b in zip(point, c, strict=True))
            total += math.exp(-square / (2 * 0.49)) / (2 * math.pi * 0.49) / 3
        assert value == pytest.approx(math.log(total), abs=1e-6)


@pytest.mark.parametrize("mixture", [ring(sigma=0.1), grid(sigma=0.3)])
def test_the_density_integrates_to_one(mixture):
    line = torch.linspace(-4, 4, 401, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)
    assert float(mixture.log_density(points).exp().sum()) * 0.02**2 == pytest.approx(1, abs=1e-6)


def test_far_away_the_log_density_stays_finite():
    assert torch.isfinite(ring().log_density(torch.tensor([[1e3, -1e3]]))).all()


def test_fresh_reals_are_not_those_of_training():
    source = open_source("ring")
    assert source.size is None
    together = torch.cat([source.reals(500, 0), source.batch(0, 0, 500)])
    assert len(together.unique(dim=0)) == 1000


def test_impossible_toys_are_refused():
    with pytest.raises(ValueError, match="ring modes = 2"):
        ring(modes=2)
    with pytest.raises(ValueError, match="grid side = 1"):
        grid(side=1)
