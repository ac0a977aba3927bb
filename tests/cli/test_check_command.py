"""`check`: presets, exit codes, JSON, Markdown, refusals."""

import json

import pytest

from equipoise.record import Diagnosis


@pytest.mark.parametrize("preset", ["ring", "grid", "digits"])
def test_presets_are_healthy_and_nothing_is_held_against_them(equipoise_says, preset):
    said = equipoise_says("check", preset)
    assert said.out == "HEALTHY  nothing wrong found before the first step\n"
    assert (said.code, said.err) == (0, "")


def write_images(folder, count, size=40):
    from PIL import Image

    folder.mkdir()
    for i in range(count):
        image = Image.linear_gradient("L").resize((size, size)).rotate(i * 7)
        image.save(folder / f"{i:03}.png")


def test_images_of_ones_own_are_healthy_with_a_word_on_their_number(equipoise_says, here):
    write_images(here / "pictures", 40)
    said = equipoise_says("check", "images", "--data", "pictures")
    assert said.out.startswith("HEALTHY")
    assert "Advice: 40 images are few" in said.out
    assert (said.code, said.err) == (0, "")


def test_the_sick_preset_is_told_what_is_wrong_with_it(equipoise_says):
    said = equipoise_says("check", "digits-sick")
    text = " ".join(said.out.split())
    assert "1. discriminator_dominance" in text
    assert "33.3 times as fast as the generator (5 updates to one" in text
    assert "no penalty, normalization or bound" in text
    assert "--set penalties.r1.gamma=0.3" in text
    assert said.code == 1


EDITS = {
    "beta1": ("digits", "optimizer.generator.beta1=0.9", "beta1", 0),
    "batch": ("digits", "batch=8", "few_samples", 0),
    "z": ("digits", "generator.z_dim=1", "mode_collapse", 1),
    "noise": ("ring", "noise.latent.sigma=0.5", "latent_noise", 0),
    "unheld": ("digits", "penalties={}", "held", 0),
}


@pytest.mark.parametrize(("preset", "edit", "name", "code"), EDITS.values(), ids=EDITS)
def test_an_edit_is_judged(equipoise_says, preset, edit, name, code):
    said = equipoise_says("check", preset, "--set", edit, "--json")
    answer = json.loads(said.out)
    told = [f["failure"] for f in answer["findings"]] + [n["note"] for n in answer["notes"]]
    assert told == [name]
    assert (said.code, said.err) == (code, "")


def test_json_is_the_diagnosis(equipoise_says):
    said = equipoise_says("check", "digits-sick", "--json")
    answer = json.loads(said.out)
    assert Diagnosis.from_dict(answer).to_dict() == answer
    assert answer["verdict"] == "sick"
    assert answer["signals"]["optimizer/discriminator/lr"] == 2e-3


def test_markdown_holds_finding_and_advice(equipoise_says):
    said = equipoise_says(
        "check", "digits-sick", "--markdown", "--set", "optimizer.generator.beta1=0.9"
    )
    assert said.out.startswith("**sick**: 1 finding before the first step")
    assert "### discriminator_dominance, since step 0" in said.out
    assert "- Advice: beta1 of Adam is high (generator 0.9)" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rng",), "did you mean 'ring'"),
        (("images",), "give their folder with --data FOLDER"),
        (("digits", "--json", "--markdown"), "give one of the two"),
        (("digits", "--set", "objective=bce"), "unknown objective.name 'bce'"),
    ],
)
def test_bad_input_is_one_line_and_2(equipoise_says, arguments, words):
    said = equipoise_says("check", *arguments)
    assert words in said.err
    assert (said.code, said.err.count("\n"), said.out) == (2, 1, "")
