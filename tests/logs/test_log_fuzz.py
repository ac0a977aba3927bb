"""Mutated logs: `read_log` gives a sound trace or one clear line, never anything else; and the fast
way of reading a line gives what the slow way gives."""

import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from equipoise.errors import MissingExtraError, RecordError
from equipoise.logs import read_log
from equipoise.logs.shapes import Shapes
from equipoise.logs.tables import read_object
from equipoise.logs.text import read_line, without_colour
from equipoise.record import Trace

DCGAN = "[0/5][{i}/40]\tLoss_D: {d:.4f}\tLoss_G: {g:.4f}\tD(x): 0.9\tD(G(z)): 0.1 / 0.05"
LINES = [
    DCGAN,
    "[INFO] 2020-09-17 20:04:{i:02d} > Step: {i} Progress: 2% Elapsed: 1:00:{i:02d} "
    "Dis_loss: {d} FID score (Step: {i}, test): {g}",
    "Epoch: 001/100 | Batch {i}/40 | Gen/Dis Loss: {g}/{d}",
    "{i} [D loss: {d}, acc.: 50.00%] [G loss: {g}]",
    "{i}/938 [=>....] - ETA: 12s - d_loss: {d:.3e} - g_loss: {g}",
    "Epoch 0:  9%|#5  | {i}/40 [00:30<00:37, 14.8it/s, d_loss={d}, g_loss={g}]\r",
    "(epoch: 1, iters: {i}, time: 0.5, data: 0.2) D_A: {d} G_A: {g} cycle_A: 0.25",
    "itr {i} {{'d_loss': tensor([{d}], device='cuda:0'), 'loss_g1': {g}, 'loss_g2': 3}}",
    "network-snapshot-{i:06d}   time 1m 20s   fid50k_full {g}  d_loss {d}",
    '{{"step": {i}, "Loss/D/loss": {{"num": 1, "mean": {d}}}, "g_loss": {g}}}',
    "{i},{d},{g}",
    "\x1b[32m{i}: \x1b[0mD Loss = {d}, G Loss = {g}",
]
SPELLINGS = [
    *(b"nan", b"NaN", b"-nan(ind)", b"1.#QNAN", b"-1.#INF", b"inf", b"-Infinity", b"1e999"),
    *(b"1,234,567.8", b"1'234.5", b"1_000", b"0x1F", b"--5", b"1.2.3", b"+.5e1", b"9" * 20),
    *(b"\xd9\xa3", b"\xef\xbc\x95", b"null", b"N/A", b"{", b"}", b'"', b"[[[[", b",", b"\t"),
    *(b"\r", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x08", b"\x1b[31m", b"PAR1", b"\n\n"),
    *(b"step", b"epoch: -1", b":", b"-1e-999"),
]
ENCODINGS = ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "latin-1", "cp037", "utf-7"]
NAMES = ["t.log", "t.txt", "t.csv", "t.json", "t.jsonl", "stats.jsonl", "wandb-summary.json"]


@st.composite
def logs(draw):
    """Bytes of a log of one or two kinds of line, of which some things were broken."""
    kinds = draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=2))
    steps = [10 * i for i in range(draw(st.integers(1, 12)))]
    if draw(st.booleans()):  # a restart
        steps += steps[draw(st.integers(0, len(steps) - 1)) :]
    text = "step,d_loss,g_loss\n" if kinds[0] == LINES[-2] else ""
    text += "".join(kind.format(i=i, d=i / 7, g=2 - i / 3) + "\n" for i in steps for kind in kinds)
    data = text.encode(draw(st.sampled_from(ENCODINGS)), "replace")
    for _ in range(draw(st.integers(0, 6))):
        data = _broken(draw, data)
    return data


def _broken(draw, data):
    place = draw(st.integers(0, max(len(data) - 1, 0)))
    way = draw(st.sampled_from(["flip", "cut", "copy", "junk", "spelling", "end"]))
    if way == "flip" and data:
        return (
            data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :]
        )
    if way == "cut":
        return data[:place] + data[place + draw(st.integers(1, 60)) :]
    if way == "copy":
        return data[:place] + data[place : place + 80] * draw(st.integers(1, 4)) + data[place:]
    if way == "junk":
        return data[:place] + draw(st.binary(max_size=40)) + data[place:]
    if way == "spelling":
        return (
            data[:place]
            + draw(st.sampled_from(SPELLINGS))
            + data[place + draw(st.integers(0, 5)) :]
        )
    return data[:place]


def check(folder, data, name):
    """Read, and hold the answer to what a trace promises."""
    path = folder / name
    path.write_bytes(data)
    try:
        trace = read_log(path)
    except MissingExtraError:
        assert data.startswith(b"PAR1")
        return
    except RecordError as error:
        said = str(error)
        assert len(said.splitlines()) == 1, said
        return
    assert isinstance(trace, Trace)
    for series in (*trace.signals.values(), trace.kimg, trace.seconds):
        assert (series.steps[1:] > series.steps[:-1]).all()
        assert series.steps.dtype == np.int64
        assert len(series.values) == len(series.steps)
    assert trace.signals
    assert json.dumps([dict(trace.facts), dict(trace.header)])


def fuzz(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@fuzz(300)
@given(data=logs(), name=st.sampled_from(NAMES))
def test_a_mutated_log_gives_a_trace_or_a_record_error(tmp_path, data, name):
    check(tmp_path, data, name)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
@fuzz(2000)
@given(data=logs())
def test_ten_thousand_mutated_logs(tmp_path, part, data):
    check(tmp_path, bytes([]).join([data, b"\n" * part]), NAMES[part])


@fuzz(300)
@given(
    line=st.sampled_from([line for line in LINES if "{{" not in line or "itr" in line]),
    numbers=st.lists(
        st.tuples(
            st.integers(0, 10**6),
            st.floats(allow_nan=False, width=32),
            st.floats(-1e3, 1e3),
        ),
        min_size=5,
        max_size=10,
    ),
    spoil=st.tuples(st.integers(0, 60), st.sampled_from(SPELLINGS)),
)
def test_lines_of_a_known_shape_are_read_as_the_slow_way_reads_them(line, numbers, spoil):
    shapes = Shapes(re.compile("batch_size"))
    for number, (i, d, g) in enumerate(numbers):
        text = line.format(i=i, d=d, g=g)
        if number == 7:
            text = text[: spoil[0]] + spoil[1].decode("utf-8", "replace") + text[spoil[0] :]
        text = without_colour(text).strip()
        assume(text)
        found, slow = shapes.read(text), read_line(text)
        if found is None:
            shapes.learn(text)
            continue
        assert found.clock == slow.clock
        assert found.values == slow.values
        assert found.total == slow.total


def test_common_lines_do_take_the_fast_way():
    for line in LINES:
        if line.startswith(("{{", "{i},", "network")):
            continue
        shapes = Shapes(re.compile("batch_size"))
        for i in range(10, 30):
            text = without_colour(line.format(i=i, d=0.5 + i, g=-1.5 - i)).strip()
            found = shapes.read(text)
            if found is None:
                shapes.learn(text)
        assert found is not None, line


@fuzz(100)
@given(numbers=st.lists(st.floats(allow_nan=False), min_size=6, max_size=12))
def test_flat_objects_of_a_known_shape_are_read_as_json_reads_them(numbers):
    shapes = Shapes(re.compile("batch_size"))
    taken = 0
    for i, value in enumerate(numbers):
        row = {"_step": i + 10, "_runtime": i / 4, "train/d_loss": value, "g_loss": 3, "note": "x"}
        text = json.dumps(row)
        found, slow = shapes.read(text), read_object(text)
        if found is None:
            shapes.learn(text, read_object)
        else:
            taken += 1
            assert (found.clock, found.values) == (slow.clock, slow.values)
    assert taken or len({f"{value:.1g}" for value in numbers}) > 1
