"""Files beside the trace: read without trust, drawn so that they fit the page."""

import base64
import io
import os

import numpy as np
import pytest
import report_scenario as scenario
from PIL import Image

from equipoise.errors import RecordError
from equipoise.record import Blob, Trace, TraceWriter
from equipoise.report import gallery
from equipoise.report.blobs import entries, load, load_each
from equipoise.report.pictures import GAP, Plan, fitting, picture


def pixels(address):
    head, _, body = address.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return Trace(path=folder / "trace.jsonl")


def saved(run, name, array):
    np.save(run.path.parent / name, array, allow_pickle=array.dtype == object)
    return Blob(0, "samples/fixed", name)


def test_the_newest_of_one_step_counts_and_steps_rise():
    blobs = (Blob(5, "a", "x"), Blob(1, "a", "y"), Blob(5, "a", "z"), Blob(2, "b", "w"))
    assert [b.path for b in entries(Trace(blobs=blobs), "a")] == ["y", "z"]


@pytest.mark.parametrize("path", ["../secret.npy", "{outside}", "deep/../../secret.npy"])
def test_a_path_out_of_the_folder_is_refused(run, path):
    outside = run.path.parent.parent / "secret.npy"
    np.save(outside, np.zeros((1, 1, 4, 4), np.uint8))
    with pytest.raises(RecordError, match="leaves the run's folder"):
        load(run, Blob(0, "samples/fixed", path.format(outside=outside)))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_out_of_the_folder_is_refused(run):
    outside = run.path.parent.parent / "secret.npy"
    np.save(outside, np.zeros((1, 1, 4, 4), np.uint8))
    (run.path.parent / "link.npy").symlink_to(outside)
    with pytest.raises(RecordError, match="leaves the run's folder"):
        load(run, Blob(0, "samples/fixed", "link.npy"))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([{"a": 1}], object), "not a readable"),
        (np.zeros((2, 2, 8, 8), np.uint8), r"expected uint8 images \(n, C, H, W\)"),
        (np.zeros((4, 4, 1, 8, 8), np.uint8), "expected uint8 images"),
        (np.zeros((3, 8, 8), np.float32), "expected uint8 images"),
        (np.zeros((0, 1, 8, 8), np.uint8), "samples/fixed at step 0"),
        (np.zeros((4, 2), np.int64), "expected uint8 images"),
    ],
)
def test_what_is_no_picture_is_refused_by_name_with_the_reason(run, array, reason):
    with pytest.raises(RecordError, match=reason):
        load(run, saved(run, "a.npy", array))


def test_missing_torn_and_odd_paths_are_refused(run):
    with pytest.raises(RecordError, match="missing"):
        load(run, Blob(0, "samples/fixed", "nowhere.npy"))
    whole = run.path.parent / "whole.npy"
    np.save(whole, np.zeros((9, 1, 8, 8), np.uint8))
    (run.path.parent / "torn.npy").write_bytes(whole.read_bytes()[:200])
    np.savez(run.path.parent / "many.npz", a=np.zeros(3))
    for path in ("torn.npy", "\0", "", "many.npz"):
        with pytest.raises(RecordError, match="samples/fixed at step 0"):
            load(run, Blob(0, "samples/fixed", path))
    with pytest.raises(RecordError, match="no folder"):
        load(Trace(), Blob(0, "samples/fixed", "whole.npy"))


def test_frames_of_another_shape_than_the_newest_are_said_and_left_out(run):
    small = saved(run, "small.npy", np.zeros((4, 1, 4, 4), np.uint8))
    large = saved(run, "large.npy", np.zeros((4, 1, 8, 8), np.uint8))
    found, skipped = load_each(run, [small, large])
    assert [blob.path for blob, _ in found] == ["large.npy"]
    assert "differs" in skipped[0]


def test_small_pixels_are_enlarged_and_tiles_stand_in_a_grid():
    images = np.zeros((5, 1, 8, 8), np.uint8)
    images[0, 0, 0, 0] = 255
    drawn = pixels(picture(images, Plan(64, 40, 128)))
    side = 8 * 6
    assert drawn.shape == (2 * side + GAP, 3 * side + 2 * GAP)
    assert (drawn[:6, :6] == 255).all()
    assert (drawn[:6, 6:side] == 0).all()


def test_colour_survives_and_large_images_are_reduced():
    images = np.zeros((1, 3, 256, 256), np.uint8)
    images[:, 0] = 200
    drawn = pixels(picture(images, Plan(16, 12, 64)))
    assert drawn.shape == (64, 64, 3)
    assert (drawn == [200, 0, 0]).all()


def test_the_plan_gives_way_until_the_budget_holds():
    noise = np.random.default_rng(0).integers(0, 256, (64, 3, 32, 32), np.uint8)
    stacks = [noise] * 40
    generous, tight = fitting(stacks, 10**9), fitting(stacks, 400_000)
    assert (generous.tiles, generous.frames) == (64, 40)
    assert len(picture(noise, tight)) * tight.frames <= 400_000


def test_hundreds_of_evaluations_become_forty_frames_with_the_onset_among_them(tmp_path):
    with TraceWriter(tmp_path) as writer:
        np.save(tmp_path / "one.npy", np.zeros((4, 1, 8, 8), np.uint8))
        for step in range(0, 30_000, 100):
            writer.blob(step, "samples/fixed", "one.npy")
    shown = gallery.samples(Trace.read(tmp_path), onset=12_300)
    labels = [frame.label for frame in shown.frames]
    assert len(labels) == 40
    assert labels[0].startswith("step 0 ")
    assert labels[-1].startswith("step 29,900 ")
    assert "step 12,300 · after the onset" in labels
    assert "40 of 300 evaluations are shown" in shown.caption


def test_a_run_of_images_has_frames_reals_and_rows(tmp_path):
    trace = scenario.write_run(tmp_path / "run")
    shown = gallery.samples(trace, 600)
    assert len({frame.source for frame in shown.frames}) == 10
    assert shown.real.alt == "64 real samples"
    assert shown.frames[3].label == "step 600 · 38.4 kimg · after the onset"
    rows = gallery.interpolation(trace)
    assert pixels(rows.frames[0].source).shape == (4 * 48 + 3 * GAP, 8 * 48 + 7 * GAP)


def test_a_run_of_points_has_a_figure_with_a_frame_per_evaluation(tmp_path):
    trace = scenario.write_run(tmp_path / "run", points=True)
    for shown in (gallery.samples(trace), gallery.interpolation(trace)):
        assert len(shown.figure.frames) == len(shown.frames) == 10
        assert shown.figure.data[0].name == "real"
        assert len(shown.figure.data[0].x) == 512


def test_lines_of_what_was_skipped_are_counted_past_eight():
    shown = gallery.Gallery("", "", skipped=tuple(f"line {i}" for i in range(12)))
    lines = gallery.skipped_lines([shown, shown])
    assert len(lines) == 9
    assert lines[-1] == "and 4 more"
