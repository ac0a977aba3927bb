"""Law 5: wrong input ends in one line that names argument, value, rule and way out; exit code 2."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from equipoise.record import Lock


def pictures(folder, count=8):
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (count, 16, 16, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def wrong(here):
    """Everything that the table below points at, in the folder that commands run in."""
    (here / "empty").mkdir()
    (here / "letters").mkdir()
    (here / "letters" / "a.txt").write_text("dear reader")
    pictures(here / "pictures")
    torn = pictures(here / "torn") / "3.png"
    torn.write_bytes(torn.read_bytes()[:300])
    (here / "occupied").mkdir()
    (here / "occupied" / "thesis.tex").write_text("years of work")
    (here / "file").write_text("text")
    (here / "nothing").write_bytes(b"")
    (here / "junk").write_bytes(np.random.default_rng(1).bytes(5000))
    (here / "list.yaml").write_text("- a\n- b\n")
    (here / "broken.yaml").write_text("name: [")
    return here


# what is typed -> words that the line must hold: the argument, the value, the rule, the way out
REFUSED = {
    "unknown preset": ("train rng", "'rng'", "did you mean 'ring'", "images"),
    "unknown key": ("train ring --set kmig=2", "'kmig'", "did you mean 'kimg'"),
    "negative rate": (
        "train ring --set optimizer.generator.lr=-1",
        "optimizer.generator.lr = -1",
        "greater than 0",
    ),
    "negative budget": ("train ring --kimg -3", "kimg = -3", "greater than 0"),
    "negative seed": ("train ring --seed -1", "seed = -1", "greater than or equal to 0"),
    "not YAML": ("train ring --set kimg=[1", "'[1'", "not a YAML value"),
    "no value": ("train ring --set kimg", "PATH=VALUE", "kimg=50"),
    "no number": ("train ring --set kimg=much", "kimg = 'much'", "valid number"),
    "unknown objective": ("train ring --set objective=hinges", "'hinges'", "did you mean 'hinge'"),
    "unknown penalty": (
        "train ring --set penalties.r7.gamma=1",
        "'r7'",
        "r1_finite_difference, r2,",
    ),
    "unknown metric family": ("train ring --set evaluation.metrics=[fid]", "'fid'", "mixture"),
    "recipe is a list": ("train list.yaml", "list.yaml", "mapping"),
    "recipe is not YAML": ("train broken.yaml", "broken.yaml", "not YAML"),
    "recipe is junk": ("train junk", "'junk'"),
    "recipe is a folder": ("train pictures", "'pictures'", "train images --data pictures"),
    "images left out": ("train images", "data.path = 'images'", "--data FOLDER"),
    "images for digits": (
        "train digits --data pictures",
        "--data 'pictures'",
        "'digits' brings its own data",
        "train images --data pictures",
    ),
    "no images": ("train images --data empty", "empty'", "the folder is empty", "png"),
    "no image among files": ("train images --data letters", "letters'", ".txt x 1", "png"),
    "torn image": ("train images --data torn", "torn/3.png", "damaged", "remove it"),
    "missing images": ("train images --data nowhere", "nowhere'", "does not exist", "--data"),
    "file for images": ("train images --data file", "file'", "is a file", "folder"),
    "odd resolution": (
        "train images --data pictures --set data.resolution=20",
        "(3, 20, 20)",
        "data.resolution",
    ),
    "occupied run_dir": ("train ring --run-dir occupied", "'occupied'", "not empty", "new"),
    "file as run_dir": ("train ring --run-dir file", "'file'", "is a file", "new or empty"),
    "resume of no run": ("resume empty", "empty", "no recipe.yaml", "train"),
    "resume of nothing": ("resume nowhere", "nowhere", "no recipe.yaml", "train"),
    "smoothing with hinge": (
        "train digits --set objective.name=hinge --set objective.label_smoothing=0.1",
        "objective.label_smoothing = 0.1",
        "'hinge'",
        "margins are not probabilities",
        "set objective.label_smoothing to 0",
    ),
    "batch norm with R1": (
        "train digits --set discriminator.normalization=batch",
        "discriminator.normalization = 'batch'",
        "penalties.r1.gamma",
        "'none' or 'spectral'",
    ),
    "log missing": ("diagnose nowhere", "nowhere", "No such file", "check the path"),
    "log is junk": ("diagnose junk", "junk", "training run"),
    "log is empty": ("diagnose nothing", "nothing", "is empty"),
    "folder without a log": ("diagnose empty", "empty", "trace.jsonl"),
    "folder with another file": ("diagnose letters", "letters", "a.txt"),
    "half a mapping": ("diagnose file --map x", "--map 'x'", "THEIRS=OURS"),
    "two forms": ("diagnose file --json --markdown", "--json and --markdown", "one of the two"),
    "report on junk": ("report junk", "junk", "training run"),
    "report on nothing": ("report nowhere", "nowhere", "check the path"),
    "four seeds": ("trial ring --arm r1=10 --seeds 4", "[0, 1, 2, 3]", "at least 5", "--seeds 5"),
    "idle arm": ("trial ring --arm kimg=768", "'kimg=768'", "changes nothing", "'ring'"),
    "unknown arm": ("trial ring --arm spectral", "'spectral'", "'spectral-norm'", "PATH=VALUE"),
    "unknown arm's penalty": ("trial ring --arm r9=3", "'r9'", "r1_finite_difference, r2,"),
    "unknown primary metric": ("trial ring --arm r1=10 --metric nice", "'nice'", "mode_kl"),
    "trial without images": ("trial images --arm r1=9", "data.path = 'images'", "--data FOLDER"),
    "no ledger": ("ledger nowhere", "nowhere", "equipoise trial"),
    "ledger is no database": ("ledger file", "file", "not a ledger", "another path"),
    "trial into no database": ("trial ring --arm kimg=1 --ledger file", "file", "not a ledger"),
    "unknown family": ("list presents", "'presents'", "did you mean 'presets'", "remedies"),
    "unknown name": ("explain mode_colapse", "'mode_colapse'", "'mode_collapse'", "list failures"),
    "argument missing": ("train", "'recipe'", "train --help"),
    "option missing": ("trial ring", "'--arm'", "trial --help"),
    "unknown command": ("trian ring", "'trian'", "'train'", "--help"),
    "unknown option": ("train ring --lr 3", "--lr", "train --help"),
    "typed number": ("train ring --kimg much", "'much'", "--kimg", "valid number"),
    "typed count": ("demo --seeds=3", "'3'", "--seeds", "greater than or equal to 5"),
}


def refused(said, words):
    """Assert the form of a refusal and that it holds `words`."""
    assert said.code == 2, said
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert [word for word in words if word not in lines[0]] == []


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_in_one_line_and_leaves_nothing(wrong, equipoise_says, case):
    command, *words = REFUSED[case]
    before = sorted(wrong.rglob("*"))
    refused(equipoise_says(*command.split()), words)
    assert sorted(wrong.rglob("*")) == before


def test_a_run_directory_in_use_is_refused_and_kept(equipoise_says, here):
    (here / "busy").mkdir()
    with Lock(here / "busy" / ".lock"):
        refused(equipoise_says("train", "ring", "--run-dir", "busy"), ["busy", "in use", "run_dir"])
    assert [p.name for p in here.rglob("*")] == ["busy", ".lock"]


def test_a_run_that_is_being_played_is_not_resumed(equipoise_says, here):
    (here / "busy").mkdir()
    (here / "busy" / "recipe.yaml").write_text("base: ring\n")
    with Lock(here / "busy" / ".lock"):
        refused(equipoise_says("resume", "busy"), ["busy", "in use"])
    assert sorted(p.name for p in here.rglob("*")) == [".lock", "busy", "recipe.yaml"]


@pytest.mark.parametrize(
    ("command", "word"),
    [("train rng", "'ring'"), ("diagnose nowhere", "nowhere"), ("trian", "'train'")],
)
def test_the_same_from_outside(here, command, word):
    """A process of its own: exit code 2, one line, nothing of Python's."""
    arguments = [sys.executable, "-m", "equipoise", *command.split()]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert word in done.stderr
    assert list(here.iterdir()) == []
