import math

import pytest
import torch

from equipoise.data import generator_for, grid, ring
from equipoise.metrics import mode_count, mode_kl_floor, mode_measures


def draw(mixture, n, seed=0):
    return mixture.sample(generator_for(seed, "reference", 0), n)


@pytest.mark.parametrize("mixture", [ring(), grid()])
def test_a_perfect_sampler_finds_all_at_the_known_ceiling(mixture):
    result = mode_count(draw(mixture, 40000), mixture.centers, mixture.sigma)
    modes = len(mixture.centers)
    assert (result.modes, result.fair_modes, result.mode_coverage) == (modes, modes, 1)
    assert result.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.002)
    assert mode_kl_floor(8, 2500) == pytest.approx(0.0014)


@pytest.mark.parametrize("mixture", [ring(), grid()])
def test_the_floor_of_the_divergence_is_the_known_one(mixture):
    values = [
        mode_count(draw(mixture, 2500, s), mixture.centers, mixture.sigma).mode_kl
        for s in range(60)
    ]
    assert sum(values) / 60 == pytest.approx(mode_kl_floor(len(mixture.centers), 2500), rel=0.2)


def test_one_mode_alone_is_ln_k_away():
    mixture = ring()
    result = mode_count(mixture.centers[2:3].repeat(50, 1), mixture.centers, mixture.sigma)
    assert result == (1, 1, 1 / 8, 1, pytest.approx(math.log(8)))


def test_unequal_shares_match_the_divergence_by_hand():
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    samples = centers[torch.tensor([0, 0, 0, 1])]
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert mode_count(samples, centers, 1.0).mode_kl == pytest.approx(expected)


def test_a_mode_is_fair_from_a_fifth_of_its_share_on():
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0]])  # share of each: 50 of 100
    for count, fair in [(9, 1), (10, 2)]:
        samples = centers[torch.tensor([1] * count + [0] * (100 - count))]
        assert mode_count(samples, centers, 1.0)[:2] == (2, fair)


def test_quality_ends_at_three_sigma():
    centers = torch.tensor([[0.0, 0.0], [100.0, 0.0]])
    samples = torch.tensor([[2.99, 0.0], [3.01, 0.0], [0.0, -2.99], [97.0, 0.0]])
    result = mode_count(samples, centers, 1.0)
    assert result.high_quality == 0.75
    assert result.modes == 2
    assert mode_count(samples, centers, 0.5).modes == 0


def test_noise_has_no_fair_mode():
    mixture = grid()
    noise = torch.randn(2500, 2, generator=torch.Generator().manual_seed(0))
    result = mode_count(noise, mixture.centers, mixture.sigma)
    assert result.fair_modes == 0
    assert result.high_quality < 0.05


def test_the_order_of_samples_and_modes_does_not_matter():
    mixture = grid()
    samples = draw(mixture, 500)[:300]
    one = mode_count(samples, mixture.centers, mixture.sigma)
    other = mode_count(samples.flip(0), mixture.centers.flip(0), mixture.sigma)
    assert one == pytest.approx(other)


def test_measures_hold_the_same_numbers_with_ceiling_and_floor():
    mixture = grid()
    samples = draw(mixture, 2500)
    found = mode_measures(samples, mixture.centers, mixture.sigma)
    counted = mode_count(samples, mixture.centers, mixture.sigma)
    assert {field: m.value for field, m in found.items()} == pytest.approx(counted._asdict())
    quality = found["high_quality"]
    assert quality.name == "high_quality_mixture"
    assert quality.parts["ceiling"] == pytest.approx(1 - math.exp(-4.5))
    assert quality.low < quality.parts["ceiling"] < quality.high
    assert found["mode_kl"].parts["floor"] == mode_kl_floor(25, 2500)
    assert found["modes"].convention["n"] == 2500


@pytest.mark.parametrize(
    ("samples", "sigma", "message"),
    [
        (torch.zeros(0, 2), 1.0, "N >= 1"),
        (torch.zeros(3, 5), 1.0, "have 5 and 2 dimensions"),
        (torch.full((3, 2), math.inf), 1.0, "row 0 holds NaN or infinity"),
        (torch.zeros(3, 2), 0.0, "sigma = 0.0: must be above 0"),
        (torch.zeros(3, 2), math.nan, "sigma = nan: must be above 0"),
    ],
)
def test_what_cannot_be_counted_is_refused(samples, sigma, message):
    with pytest.raises(ValueError, match=message):
        mode_count(samples, torch.zeros(4, 2), sigma)
