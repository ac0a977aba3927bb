"""Values that know by which convention they were taken."""

import pytest

from equipoise.metrics.measure import Measure, compare, with_error

FID = {"features": "inception", "resize": "clean", "n_fake": 50_000}


def test_a_normal_interval_is_1_96_errors_to_each_side():
    measure = with_error("kid", 2.0, 0.5, convention={"k": 3})
    assert (measure.low, measure.high) == pytest.approx((1.0200180, 2.9799820))
    assert float(measure) == 2.0
    assert with_error("kid", 2.0, float("nan")).low is None


def test_one_convention_can_be_compared():
    assert compare(Measure("fid", 3.0, convention=FID), Measure("fid", 5.0, convention=FID)) == 2.0


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("fid", {"resize": "legacy"}, "resize 'clean' against 'legacy'"),
        ("kid", {}, "name 'fid' against 'kid'"),
        ("fid", {"n_fake": 10_000}, "n_fake 50000 against 10000"),
        ("fid", {"estimator": "biased"}, "estimator None against 'biased'"),
    ],
)
def test_another_convention_is_refused(name, change, said):
    with pytest.raises(ValueError, match=said):
        compare(Measure("fid", 3.0, convention=FID), Measure(name, 5.0, convention=FID | change))


def test_sample_sizes_may_differ_where_they_do_not_bias():
    unbiased = FID | {"bias": "none"}
    first = Measure("kid", 3.0, convention=unbiased | {"seed": 1})
    assert compare(first, Measure("kid", 3.5, convention=unbiased | {"n_fake": 10})) == 0.5
