"""Logs as people write them: what is read, what is assumed, and that nothing else than
`RecordError` ever comes out."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from equipoise.errors import RecordError
from equipoise.logs import read_log
from equipoise.logs.shapes import Shapes
from equipoise.logs.text import read_line, without_colour
from equipoise.record import TraceWriter

LOSSES = {"loss/discriminator", "loss/generator"}
DCGAN = "[0/5][{i}/40]\tLoss_D: {d} Loss_G: {g}\tD(x): 0.9\tD(G(z)): 0.1 / 0.05"

# one line per row: name, lines of the log, the signals with their values in order
TEXTS = [
    ("tutorial", DCGAN, LOSSES | {"probability/real/mean", "probability/fake/mean"}),
    ("keras", "{i} [D loss: {d}, acc.: 50.00%] [G loss: {g}]", LOSSES),
    ("pytorch_gan", "[Epoch 0/200] [Batch {i}/40] [D loss: {d}] [G loss: {g}]", LOSSES),
    ("bracket", "[{i}/20000] [D loss: {d}] [G loss: {g}]", LOSSES),
    ("slash", "Epoch: 001/100 | Batch {i}/40 | Gen/Dis Loss: {g}/{d}", LOSSES),
    ("equals", "step={i} d_loss={d} g_loss={g}", LOSSES),
    ("spaces", "iter {i} d_loss {d} g_loss {g}", LOSSES),
    (
        "logger",
        "[INFO] 2020-09-17 20:04:38 > Step: {i} Dis_loss: {d} Gen_loss: {g} Topk: N/A",
        LOSSES,
    ),
    (
        "tensor",
        "itr {i} {{'d_loss': tensor([{d}], device='cuda:0'), 'g_loss': tensor({g})}}",
        LOSSES,
    ),
    (
        "progress",
        "Epoch 0:  9%|#| {i}/40 [00:30<00:37, 14.8it/s, d_loss={d}, g_loss={g}]\r",
        LOSSES,
    ),
    (
        "hifigan",
        "Steps : {i}, Gen Loss Total : {g}, Dis Loss : {d}, Mel-Spec. Error : 0.4, s/b : 0.5",
        LOSSES | {"loss/reconstruction"},
    ),
    (
        "cyclegan",
        "(epoch: 1, iters: {i}, time: 0.5, data: 0.2) D_A: {d} G_A: {g} cycle_A: 0.25 D_B: 0.1 ",
        LOSSES | {"loss/reconstruction"},
    ),
    (
        "keras_bar",
        "\x08\x08\x08{i}/938 [=>....] - ETA: 12s - d_loss: {d} - g_loss: {g}",
        LOSSES,
    ),
    ("keras_3", "{i}/938 \u2501\u2501\u2501 12s 13ms/step - d_loss: {d} - g_loss: {g}", LOSSES),
    ("json", '{{"step": {i}, "Loss/D/loss": {{"num": 1, "mean": {d}}}, "g_loss": {g}}}', LOSSES),
    ("colour", "\x1b[32mStep {i}\x1b[0m D Loss = {d}, \x1b[1mG Loss\x1b[0m = {g}", LOSSES),
]


def write(folder, text, name="train.log"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def log(trace):
    return trace.facts["log"]


@pytest.mark.parametrize(("name", "line", "signals"), TEXTS, ids=[t[0] for t in TEXTS])
def test_a_known_way_of_printing_is_read_to_the_digit(tmp_path, name, line, signals):
    d, g = [0.5, -1.25e-3, 7.0], [1.2, 0.0, 3e2]
    text = "\n".join(line.format(i=10 * i, d=d[i], g=g[i]) for i in range(3)) + "\n"
    trace = read_log(write(tmp_path, text))
    assert set(trace.signals) == signals
    assert trace.series("loss/discriminator").values.tolist() == d
    assert trace.series("loss/generator").values.tolist() == g
    assert trace.series("loss/generator").steps.tolist() == [0, 10, 20]
    assert trace.last_step == 20
    assert log(trace)["lines"] == 3


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_table_is_read_by_its_head(tmp_path, delimiter):
    path = tmp_path / "metrics.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["epoch", "step", "train/d_loss", "train/g_loss", "val/fid", "note"])
        writer.writerow([0, 100, 0.5, 1.5, "", "ok"])
        writer.writerow([0, 200, "nan", 1.25, 33.5, "x"])
    trace = read_log(path)
    assert trace.series("loss/generator").values.tolist() == [1.5, 1.25]
    assert trace.series("metric/fid").steps.tolist() == [200]
    assert math.isnan(trace.series("loss/discriminator").last)
    assert log(trace)["format"] == ("tsv" if delimiter == "\t" else "csv")


def test_a_torn_row_of_a_table_is_counted_and_left_out(tmp_path):
    trace = read_log(write(tmp_path, "step,d_loss,g_loss\n1,0.5,1\n2,0.25,2\n3,0.1", "m.csv"))
    assert trace.series("loss/discriminator").values.tolist() == [0.5, 0.25]
    assert trace.damaged == 1


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("nan", math.nan),
        ("NaN", math.nan),
        ("-nan(ind)", math.nan),
        ("1.#QNAN", math.nan),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("-1.#INF", -math.inf),
        ("+.5e1", 5.0),
        ("12,345.5", 12345.5),
        ("-1,234,567", -1234567.0),
        ("0.5,0.25", 0.5),
    ],
)
def test_numbers_that_are_not_finite_are_kept_in_every_spelling(tmp_path, spelling, value):
    trace = read_log(write(tmp_path, f"step 1 loss_D: {spelling}, loss_G: 2\n"))
    assert trace.series("loss/discriminator").values.tolist() == pytest.approx([value], nan_ok=True)


def test_thousands_separators_are_no_ends_of_numbers(tmp_path):
    lines = [f"step {s:,} d_loss: {s:,}.5, g_loss: 1\n" for s in range(800, 1400, 100)]
    trace = read_log(write(tmp_path, "".join(lines)))
    assert trace.series("loss/discriminator").steps.tolist() == [800, 900, 1000, 1100, 1200, 1300]
    assert trace.series("loss/discriminator").values.tolist()[-1] == 1300.5
    trace = read_log(write(tmp_path, 'step,d_loss\n1,"1,234.5"\n2,7\n', "m.csv"))
    assert trace.series("loss/discriminator").values.tolist() == [1234.5, 7]


def spoilt(s):
    return "nan" if s == 333 else f"{s / 8}"


TWO_KINDS = "".join(
    f"iter {s}: D loss = {spoilt(s)}\nG loss = {s / 4}\n" + f"FID: {s}.5\n" * (s % 100 == 7)
    for s in range(1000)
)
LONG = {
    "t.log": TWO_KINDS,
    "t.csv": "step,D loss,G loss,FID\n"
    + "".join(f"{s},{spoilt(s)},{s / 4},{f'{s}.5' if s % 100 == 7 else ''}\n" for s in range(1000)),
    "full.csv": "step,D loss,G loss\n" + "".join(f"{s},{spoilt(s)},{s / 4}\n" for s in range(1000)),
    "t.jsonl": "".join(
        f'{{"step": {s}, "D loss": {s / 8}, "G loss": {s / 4}}}\n' for s in range(999)
    ),
}


@pytest.mark.parametrize("name", sorted(LONG))
def test_a_log_with_too_many_lines_is_thinned_evenly(tmp_path, monkeypatch, name):
    path = write(tmp_path, LONG[name], name)
    whole = read_log(path)
    monkeypatch.setattr("equipoise.logs.columns._MOST_ROWS", 256)
    thin = read_log(path)
    assert set(thin.signals) == set(whole.signals)
    for signal, series in thin.signals.items():
        full = whole.series(signal)
        if signal == "metric/fid":
            assert series.steps.tolist() == full.steps.tolist()
            continue
        assert 60 < len(series) < 260
        assert np.diff(series.steps).max() <= 32
        here = np.isin(full.steps, series.steps)
        np.testing.assert_array_equal(full.values[here], series.values)
    nan = np.isnan(whole.series("loss/discriminator").values).sum()
    assert np.isnan(thin.series("loss/discriminator").values).sum() == nan
    assert any("every" in line for line in log(thin)["assumed"])
    assert not any("every" in line for line in log(whole)["assumed"])


def test_json_spells_them_too(tmp_path):
    lines = [
        '{"itr": 1, "D_loss": NaN}',
        '{"itr": 2, "D_loss": "inf"}',
        '{"itr": 3, "D_loss": -Infinity}',
    ]
    values = read_log(write(tmp_path, "\n".join(lines))).series("loss/discriminator").values
    assert math.isnan(values[0])
    assert values[1:].tolist() == [math.inf, -math.inf]


def test_our_own_trace_is_read_as_it_is(tmp_path):
    with TraceWriter(tmp_path / "trace.jsonl") as writer:
        writer.header(objective="hinge")
        writer.row(1, 0.064, 0.5, {"loss/generator": 2.0})
    for path in (tmp_path, tmp_path / "trace.jsonl", str(tmp_path)):
        trace = read_log(path)
        assert trace.header["objective"] == "hinge"
        assert trace.series("loss/generator").last == 2.0
        assert "log" not in trace.facts


def test_a_step_counted_within_each_epoch_goes_on_rising(tmp_path):
    lines = [
        f"(epoch: {e}, iters: {i}, time: 0.5) D_A: 1 loss_D: {e}.{i} "
        for e in (1, 2, 3)
        for i in (10, 20)
    ]
    trace = read_log(write(tmp_path, "\n".join(lines)))
    assert trace.series("loss/discriminator").steps.tolist() == [10, 20, 30, 40, 50, 60]
    assert log(trace)["step"] == "iteration"


def test_a_counter_that_starts_anew_without_an_epoch_is_counted_on(tmp_path):
    lines = [f"iter {i} d_loss: {p}.{i}" for p in range(3) for i in (100, 200, 300)]
    trace = read_log(write(tmp_path, "\n".join(lines)))
    assert trace.series("loss/discriminator").steps.tolist() == [100 * k for k in range(1, 10)]
    assert any("counted on" in line for line in log(trace)["assumed"])


def test_of_a_resumed_run_the_last_pass_is_kept(tmp_path):
    first = [f"Step: {s} D_loss: 1.0" for s in (100, 200, 300, 400)]
    second = [f"Step: {s} D_loss: 2.0" for s in (250, 350)]
    trace = read_log(write(tmp_path, "\n".join(first + second)))
    series = trace.series("loss/discriminator")
    assert series.steps.tolist() == [100, 200, 250, 350]
    assert series.values.tolist() == [1, 1, 2, 2]
    assert any("went back to 250" in line for line in log(trace)["assumed"])


def test_an_evaluation_of_an_older_checkpoint_is_no_resume(tmp_path):
    text = (
        "Step: 100 D_loss: 1\nFID score (Step: 100, test): 50\nBest FID score (Step: 100): 50\n"
        "Step: 200 D_loss: 1\nFID score (Step: 200, test): 70\nBest FID score (Step: 100): 50\n"
        "FID score (Step: 100, train): 48\n"
    )
    trace = read_log(write(tmp_path, text))
    assert trace.series("loss/discriminator").steps.tolist() == [100, 200]
    assert trace.series("metric/fid").values.tolist() == [50, 70]  # the first of each step stays


def test_lines_without_any_counter_are_counted(tmp_path):
    trace = read_log(write(tmp_path, "G: loss_G: 1\nloss_D: 2\nloss_G: 3\nloss_D: 4\n"))
    assert trace.series("loss/generator").steps.tolist() == [1, 2]
    assert trace.series("loss/discriminator").steps.tolist() == [1, 2]
    assert log(trace)["step"] == "record"


def test_an_epoch_shared_by_many_lines_does_not_swallow_them(tmp_path):
    trace = read_log(
        write(tmp_path, "Epoch 1\n" + "d_loss: 1\n" * 5 + "Epoch 2\n" + "d_loss: 2\n" * 5)
    )
    assert len(trace.series("loss/discriminator")) == 10
    assert any("counted" in line for line in log(trace)["assumed"])


def test_thousands_of_images_become_images(tmp_path):
    line = {
        "Progress/kimg": {"mean": 4.032},
        "Loss/D/loss": {"mean": 1.0},
        "Loss/signs/real": {"mean": 0.4},
    }
    trace = read_log(write(tmp_path, json.dumps(line) + "\n", "stats.jsonl"))
    assert trace.last_step == 4032
    assert trace.kimg.values.tolist() == [4.032]
    assert trace.series("sign_rate/real").last == 0.4


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("D_real: 0.5 D_fake: -1.5", "logits/real/mean"),
        ("D_real: 0.5 D_fake: 0.25", "loss_on_real/discriminator"),
        ("D(x): 0.5 D(G(z)): 0.25", "probability/real/mean"),
        ("D(x): 4.5 D(G(z)): 0.25", "logits/real/mean"),
    ],
)
def test_a_name_with_two_meanings_is_settled_by_its_values_and_said(tmp_path, text, signal):
    trace = read_log(write(tmp_path, f"step 1 {text}\n"))
    assert trace.series(signal).last in (0.5, 4.5)
    assert "read as" in log(trace)["assumed"][0]


def test_the_halves_of_the_loss_are_summed_when_there_is_no_whole(tmp_path):
    trace = read_log(
        write(tmp_path, "itr 5, D_loss_real : +0.25, D_loss_fake : +0.5, G_loss : -1\n")
    )
    assert trace.series("loss/discriminator").values.tolist() == [0.75]
    assert any("sum" in line for line in log(trace)["assumed"])


def test_validation_losses_are_not_taken_for_training_losses(tmp_path):
    trace = read_log(
        write(tmp_path, '{"step": 1, "g_loss": 1, "val/g_loss": 9, "val/d_loss": 8}\n')
    )
    assert set(trace.signals) == {"loss/generator"}
    assert trace.series("loss/generator").last == 1
    assert {"val/g_loss", "val/d_loss"} <= set(log(trace)["unmapped"])


def test_the_objective_and_batch_come_from_a_line_that_names_them(tmp_path):
    text = "{'model': {'adv_loss': 'hinge', 'batch_size': 64}}\nstep 1 d_loss: 2\n"
    assert dict(read_log(write(tmp_path, text)).header) == {"objective": "hinge", "batch": 64}
    text = "gan_mode: lsgan\ngan_mode: vanilla\nstep 1 d_loss: 2\n"
    assert "objective" not in read_log(write(tmp_path, text)).header
    assert "objective" not in read_log(write(tmp_path, "step 1 d_loss: 2\n")).header


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "latin-1"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "train.log"
    path.write_bytes(
        "".join(f"été step {i} loss_D: 0.5 loss_G: {i}\n" for i in range(99)).encode(encoding)
    )
    assert read_log(path).series("loss/generator").values.tolist() == list(range(99))


def test_half_lines_and_junk_are_passed_over(tmp_path):
    path = tmp_path / "stats.jsonl"
    junk = bytes(range(256)) * 40
    path.write_bytes(
        b'{"step": 1, "d_loss": 0.5}\n' + junk + b'\n{"step": 2, "d_loss": 0.2}\n{"step": 3, "d_l'
    )
    trace = read_log(path)
    assert trace.series("loss/discriminator").values.tolist() == [0.5, 0.2]
    assert trace.damaged == 1


def test_a_mapping_names_what_the_table_does_not(tmp_path):
    path = write(tmp_path, "n: 10 wasser_critic: 0.5 KL: 2\nn: 20 wasser_critic: 0.25 KL: 1\n")
    trace = read_log(path, {"wasser_critic": "loss/discriminator", "n": "step", "KL": "metric/kl"})
    assert trace.series("loss/discriminator").steps.tolist() == [10, 20]
    assert trace.series("metric/kl").values.tolist() == [2, 1]
    assert log(trace)["mapping"]["wasser_critic"] == "loss/discriminator"


def test_the_users_word_goes_before_the_table(tmp_path):
    path = write(tmp_path, "step 1 d_loss: 0.5 g_loss: 2\n")
    assert read_log(path, {"d_loss": "loss/encoder"}).series("loss/encoder").last == 0.5
    assert "loss/discriminator" not in read_log(path, {"d_loss": "loss/encoder"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("epoch 1 accuracy: 0.5 cost_a: 2\n", ["no numbers", "accuracy", "cost_a", "--map"]),
        ("nothing here\n", ["no names with numbers", "training run"]),
    ],
)
def test_what_cannot_be_understood_is_said_in_one_line(tmp_path, text, words):
    with pytest.raises(RecordError) as error:
        read_log(write(tmp_path, text))
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)


def test_a_mapping_of_a_name_that_is_not_there_suggests_the_nearest(tmp_path):
    with pytest.raises(RecordError, match="did you mean 'critic_x'"):
        read_log(write(tmp_path, "step 1 critic_x: 5\n"), {"critic_y": "loss/discriminator"})


def test_paths_that_are_none(tmp_path):
    with pytest.raises(RecordError, match="cannot read log"):
        read_log(tmp_path / "absent.log")
    with pytest.raises(RecordError, match="holds no trace"):
        read_log(tmp_path)


CASES = Path(__file__).parents[3] / "shared" / "cases"


@pytest.mark.skipif(not CASES.exists(), reason="the collection of public logs is not here")
@pytest.mark.parametrize("path", sorted((CASES / "public").glob("[0-9]*")), ids=lambda p: p.name)
def test_every_public_case_is_read(path):
    trace = read_log(path)
    assert trace.signals
    assert set(log(trace)) >= {"format", "mapping", "unmapped", "lines", "step", "assumed"}


@pytest.mark.skipif(not CASES.exists(), reason="the collection of public logs is not here")
def test_long_logs_end_where_their_index_says():
    index = json.loads((CASES / "studiogan" / "index.json").read_text())
    names = sorted(index, key=lambda n: (CASES / "studiogan" / n).stat().st_size)[:12]
    assert names
    for name in names:
        fid = read_log(CASES / "studiogan" / name).series("metric/fid")
        assert fid.last == pytest.approx(index[name]["last_fid"], rel=1e-9)
        assert fid.steps[-1] == index[name]["last_step"]
        assert fid.values.min() <= index[name]["best_fid"] * (1 + 1e-9)


@pytest.mark.skipif(not CASES.exists(), reason="the collection of public logs is not here")
@pytest.mark.parametrize("path", sorted((CASES / "public").glob("*.txt")), ids=lambda p: p.name)
def test_real_lines_are_read_alike_by_the_fast_way(path):
    shapes = Shapes(re.compile("batch_size"))
    for raw in path.read_text("utf-8").splitlines() * 3:
        text = without_colour(raw).strip()
        fast, slow = shapes.read(text), read_line(text)
        if fast is None:
            shapes.learn(text)
        else:
            assert (fast.clock, fast.values, fast.total) == (slow.clock, slow.values, slow.total)
