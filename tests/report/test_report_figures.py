"""The numbers of the figures, and that each of them can be drawn."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest
import report_scenario as scenario

from equipoise.record import Evidence, Trace
from equipoise.report.colours import INK, ROLES, colour, dash
from equipoise.report.figures import (
    CURVES,
    evidence,
    gradients,
    logits,
    losses,
    metrics,
    others,
    paired,
    points,
    separation,
)


def trace_of(**columns):
    steps = range(len(next(iter(columns.values()))))
    return Trace.from_columns(steps, {k.replace("__", "/"): v for k, v in columns.items()})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return scenario.write_run(tmp_path_factory.mktemp("figures") / "run")


@pytest.mark.parametrize("figure", CURVES, ids=lambda module: module.__name__.split(".")[-1])
def test_every_figure_of_curves_holds_its_signals_and_draws_them_with_the_onset(figure, run):
    charts = figure.data(run, 600)
    assert charts
    for one in charts:
        drawn = figure.draw(one)
        assert isinstance(drawn, go.Figure)
        assert json.loads(drawn.to_json())["data"]
        assert any("onset, step 600" in a.text for a in drawn.layout.annotations)
        assert one.alt.endswith("the onset at step 600 is marked")


@pytest.mark.parametrize("figure", CURVES, ids=lambda module: module.__name__.split(".")[-1])
def test_a_figure_without_its_signals_is_no_figure(figure):
    assert figure.data(Trace()) == ()
    assert figure.data(trace_of(unrelated=[1.0, 2.0])) == ()


def test_each_signal_stands_in_exactly_one_figure(run):
    shown = tuple(prefix for figure in CURVES for prefix in figure.SHOWS)
    rest = {name for names in others.grouped(run, shown).values() for name in names}
    assert rest == {
        f"{stem}/{player}"
        for stem in ("parameter_norm",)
        for player in ("generator", "discriminator")
    } | {"batch/real/std", "batch/fake/std"}
    charts = others.data(run, None, shown)
    assert [one.title for one in charts] == ["batch/std", "parameter_norm"]
    assert {item.label for item in charts[0].lines} == {"real", "fake"}


def test_roles_keep_their_colours_everywhere(run):
    found = {(i.label, i.colour) for one in losses.data(run) for i in one.lines}
    assert found == {(role, ROLES[role]) for role in ("generator", "discriminator")}
    found = {(i.label, i.colour) for one in logits.data(run) for i in one.lines}
    assert found == {(role, ROLES[role]) for role in ("real", "fake")}
    plain = [(colour("x", i), dash("x", i)) for i in range(9)]
    assert len(set(plain)) == 9
    assert not {c for c, _ in plain} & set(ROLES.values())


def test_the_band_of_the_logits_is_one_standard_deviation(run):
    (one,) = logits.data(run)
    fake = next(item for item in one.lines if item.label == "fake")
    np.testing.assert_allclose(fake.spread, 1.0)
    drawn = logits.draw(one)
    upper = next(t for t in drawn.data if t.fill == "tonexty")
    np.testing.assert_allclose(upper.y, one.lines[0].values + one.lines[0].spread, rtol=1e-6)


def test_spread_at_other_steps_than_the_mean_leaves_the_band_out_there():
    steps = Trace.from_columns([0, 1, 2], {"logits/real/mean": [1, 2, 3]})
    spread = Trace.from_columns([1], {"logits/real/std": [0.5]})
    (one,) = logits.data(Trace(signals={**steps.signals, **spread.signals}))
    np.testing.assert_array_equal(one.lines[0].spread, [np.nan, 0.5, np.nan])


def test_non_finite_readings_become_gaps_and_are_counted():
    (one,) = losses.data(trace_of(loss__generator=[1.0, np.nan, np.inf, -np.inf, 2.0]))
    np.testing.assert_array_equal(one.lines[0].values, [1, np.nan, np.nan, np.nan, 2])
    assert "3 readings are NaN or infinite" in one.caption
    assert isinstance(losses.draw(one), go.Figure)


def test_a_signal_that_is_never_finite_still_draws():
    (one,) = gradients.data(trace_of(gradient_norm__generator=[np.nan, np.inf]))
    assert isinstance(gradients.draw(one), go.Figure)


def test_values_at_the_ends_of_double_precision_still_draw():
    (one,) = gradients.data(trace_of(gradient_norm__generator=[1e-300, 1e300, 0.0]))
    assert one.log
    np.testing.assert_array_equal(gradients.draw(one).data[0].y[:2], [1e-300, 1e300])
    wide = {"logits/real/mean": [1e308, 1.0], "logits/real/std": [1e308, 1.0]}
    assert isinstance(logits.draw(logits.data(trace_of(**wide))[0]), go.Figure)


def test_the_axis_is_logarithmic_over_two_decades_and_says_where_zeros_are():
    assert not gradients.data(trace_of(gradient_norm__generator=[1.0, 50.0]))[0].log
    assert not gradients.data(trace_of(gradient_norm__generator=[-1.0, 500.0]))[0].log
    (one,) = gradients.data(trace_of(gradient_norm__generator=[0.0, 0.3, 50.0]))
    assert one.log
    assert one.floor == pytest.approx(0.1)
    assert "Zeros are drawn at the lower edge" in one.caption
    assert gradients.draw(one).data[0].y[0] == pytest.approx(0.1)


def test_a_long_run_is_thinned_and_keeps_its_spike():
    values = np.ones(30_000)
    values[12_345] = 99.0
    (one,) = losses.data(trace_of(loss__generator=values))
    assert len(one.lines[0].steps) <= 2_000
    assert one.lines[0].steps[np.nanargmax(one.lines[0].values)] == 12_345


def test_metrics_say_which_direction_is_better(run):
    captions = {one.title: one.caption for one in metrics.data(run)}
    assert captions["frechet_digits_cnn"].endswith("Lower is better.")
    assert captions["recall_digits_cnn"].endswith("Higher is better.")
    (unknown,) = metrics.data(trace_of(metric__mine=[1.0, 2.0]))
    assert unknown.caption == ""
    assert unknown.lines[0].colour == INK


def test_separation_marks_chance(run):
    assert separation.data(run)[0].references == ((0.5, "chance"),)


def test_evidence_shows_what_was_expected_and_seen(run):
    fact = Evidence("auc/discriminator", 0.995, "0.55 to 0.95", (1500, 1990))
    (one,) = evidence.data(run, fact, 600)
    assert one.caption.startswith("Expected: 0.55 to 0.95. Seen: 0.995 (median")
    assert (one.onset, one.window) == (600, (1500, 1990))
    assert len(evidence.draw(one).layout.shapes) == 2
    assert evidence.data(run, Evidence("absent", 1.0, "2", (0, 1)), 0) == ()


def test_markup_in_a_signals_name_is_shown_and_not_obeyed():
    hostile = '<a href="https://example.org">x</a>'
    trace = trace_of(**{f"loss__{hostile}".replace("/", "|"): [1.0], "loss__b": [2.0]})
    names = [t.name for one in losses.data(trace) for t in losses.draw(one).data]
    assert not any("<" in name for name in names)
    assert any("&lt;a href" in name for name in names)


def test_pairs_count_improvement_as_positive_in_both_directions():
    row = scenario.trial()
    lower = paired.data(row)
    np.testing.assert_allclose(lower.differences, np.subtract(row.baseline_values, row.arm_values))
    higher = paired.data(type(row)(**{**vars(row), "better": "higher"}))
    np.testing.assert_allclose(higher.differences, np.negative(lower.differences))


def test_a_pair_without_a_value_is_left_out_and_the_rest_drawn():
    row = scenario.trial()
    broken = {**vars(row), "arm_values": (float("nan"), *row.arm_values[1:-1])}
    pairs = paired.data(type(row)(**{**broken, "interval": (float("nan"), float("nan"))}))
    assert pairs.seeds == (1, 2, 3, 4, 5, 6)
    assert len(paired.draw(pairs).data) == 1  # no interval, no diamond
    assert len(paired.draw(paired.data(row)).data) == 2


def test_points_share_one_window_and_count_what_lies_outside():
    real = np.array([[-1.0, -1.0], [1.0, 1.0]])
    frames = [np.array([[0.0, 0.0], [9.0, 0.0]]), np.array([[np.nan, 0.0], [0.5, 0.5]])]
    data = points.data(real, frames)
    assert data.window == pytest.approx((-1.7, 1.7, -1.7, 1.7))
    assert data.outside == (1, 1)
    figure = points.draw(data)
    assert len(figure.frames) == 2
    assert figure.layout.yaxis.scaleanchor == "x"
    assert list(figure.data[1].x) == [0.5]


def test_paths_are_parted_and_points_without_reals_still_have_a_window():
    data = points.data(None, [np.zeros((3, 4, 2)) + np.arange(3).reshape(3, 1, 1)])
    assert data.paths
    assert np.isnan(data.frames[0]).all(axis=1).sum() == 3
    assert data.window[0] < data.window[1]
    assert points.data(None, [np.full((2, 2), np.nan)]).outside == (2,)
