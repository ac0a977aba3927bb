"""How the benchmark of real logs marks a verdict; that it takes out metrics and nothing else."""

import json
from pathlib import Path

import pytest

from benchmarks.cases import Case, collection, find_cases, judge, judged

SICK = "".join(f"step {s} d_loss: {1.2 if s < 50 else 'nan'}\n" for s in range(0, 100, 10))
WELL = "".join(f"step {s} d_loss: 1.2 g_loss: 0.9\n" for s in range(0, 100, 10))


def case(path, sick, named=(), onset=None, whole=True):
    return Case(path.name, path, "collapse" if sick else "stable", sick, named, onset, whole)


@pytest.mark.parametrize(
    ("text", "about", "kind", "mark"),
    [
        (SICK, {"sick": True, "named": ("non_finite",), "onset": 40}, "as it is", "right"),
        (SICK, {"sick": True, "named": ("non_finite",), "onset": 20}, "as it is", "wrong onset"),
        (SICK, {"sick": True, "named": ("oscillation",)}, "as it is", "wrong name"),
        (SICK, {"sick": False}, "as it is", "false alarm"),
        (WELL, {"sick": False}, "as it is", "right"),
        (WELL, {"sick": True}, "as it is", "missed"),
        (WELL, {"sick": True}, "no metrics", "open"),
        (WELL, {"sick": True, "whole": False}, "as it is", "open"),
        ("nothing here", {"sick": True}, "as it is", "unread"),
    ],
)
def test_a_verdict_is_marked_by_the_label(tmp_path, text, about, kind, mark):
    path = tmp_path / "run.log"
    path.write_text(text)
    assert judge(case(path, **about), kind, path, evaluation=10.0).mark == mark


def test_lines_of_metrics_are_taken_out_and_no_others(tmp_path):
    folder = tmp_path / "studiogan"
    folder.mkdir()
    path = folder / "run.log"
    metrics = "FID score (Step: 20, test): nan\nBest FID score (Step: 10): 3\nPrecision: nan\n"
    path.write_text(WELL + metrics + "{'mixed_precision': False}\n")
    with_metrics, bare = judged(case(path, sick=False), tmp_path)
    assert (with_metrics.kind, bare.kind) == ("as it is", "no metrics")
    assert (tmp_path / "bare.log").read_text() == WELL + "{'mixed_precision': False}\n"


def test_every_labelled_log_is_a_case():
    folder = find_cases()
    if folder is None:
        pytest.skip("the collection of labelled logs is not here")
    cases = list(collection(folder))
    index = [
        json.loads((folder / name / "index.json").read_text()) for name in ("studiogan", "public")
    ]
    assert len(cases) == sum(map(len, index))
    assert all(Path(one.path).is_file() for one in cases)
    assert all(bool(one.named) == one.sick for one in cases)
