"""Every run of the fault library, played once: recipes with a fault, and the small tokenizer.

Runs made sick on purpose and configurations that learn. A finished run's trace stays in its folder
and, packed, in the corpus, so that rules can be judged again without playing it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults import corpus, tokenizer
from benchmarks.faults.healthy import CONFIGURATIONS
from benchmarks.faults.recipes import FAULTS as RECIPE_FAULTS
from benchmarks.faults.recipes import Fault
from benchmarks.faults.settings import SETTINGS, setting
from equipoise.recipe import Recipe, load
from equipoise.record import Trace
from equipoise.trial import train

BUDGETS = {"ring": 256.0, "grid": 1280.0, "digits": 64.0}  # kimg: where healthy runs are good
MOST_STEPS = 4  # times those of the preset: a small batch is not shown as many images
PRIMARY = {"ring": "mode_kl", "grid": "mode_kl", "digits": "frechet_digits_cnn"}
MOST_SEEDS = 30
SEVERITIES = ("mild", "medium", "strong")
TOKENIZER = "tokenizer"
OTHER_IMAGES = "tokenizer on digits"  # whose measures have another scale
FAULTS: dict[str, Fault] = {
    **RECIPE_FAULTS,
    **{f"tokenizer: {name}": fault for name, fault in tokenizer.FAULTS.items()},
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One run of the library; `fault` is "" for a healthy configuration, whose name is `name`."""

    name: str
    preset: str
    fault: str = ""
    severity: int = 0

    def recipe(self, seed: int) -> Recipe:
        """What is played, of a case that is a recipe."""
        edit: Mapping[str, Any]
        if self.fault:
            edit = {**setting(self.preset, seed), **FAULTS[self.fault].edits[self.severity]}
        else:
            edit = CONFIGURATIONS[self.name][1]
        preset = load(self.preset)
        share = min(1.0, MOST_STEPS * edit.get("batch", preset.batch) / preset.batch)
        kimg = BUDGETS[self.preset] * share
        pace = {"kimg": kimg, "evaluation.every_kimg": kimg / 12, "checkpoint.every_kimg": kimg}
        if share < 1 and preset.ema.half_life_kimg:
            pace["ema.half_life_kimg"] = preset.ema.half_life_kimg * share
        aside = {"data.held_out": 0.1} if self.preset == "digits" else {}
        return preset.edit({**pace, **aside, **edit, "seed": seed})

    def held_out(self, seed: int) -> bool:
        """Whether it is played in another objective or architecture than rules are tuned on."""
        return (
            self.preset in BUDGETS and bool(self.fault) and SETTINGS[seed % len(SETTINGS)] != (0, 0)
        )

    @property
    def tokenizer(self) -> tokenizer.Case:
        """The case as the tokenizer's own library has it."""
        name = self.name.removeprefix("tokenizer: ")
        return tokenizer.Case(name, self.fault.removeprefix("tokenizer: "), self.severity)


def library() -> list[Case]:
    """Every case: healthy ones first, since they say what harm is."""
    well = [Case(name, preset) for name, (preset, _) in CONFIGURATIONS.items()]
    well += [
        Case(f"tokenizer: {name}", OTHER_IMAGES if "data" in settings else TOKENIZER)
        for name, settings in tokenizer.CONFIGURATIONS.items()
    ]
    return well + list(_sick())


def _sick() -> Iterable[Case]:
    for name, fault in FAULTS.items():
        presets = fault.presets if name in RECIPE_FAULTS else (TOKENIZER,)
        for preset in presets:
            for severity, word in enumerate(SEVERITIES):
                yield Case(f"{name} / {preset} / {word}", preset, name, severity)


def play(case: Case, seed: int, folder: Path, line: Row | None = None) -> tuple[Row, Trace]:
    """One run: what it measures at its end, lower is better, its steps, and its trace.

    It is read back where `folder` holds it, or where `line` of the corpus is of the same settings.
    """
    place, key = place_of(case, seed, folder), _key(case, seed)
    known = _read(place)
    if known.get("recipe") == key:
        return {**vars(case), "seed": seed, **known}, Trace.read(place)
    if line is not None and line["recipe"] == key:
        known = {name: line[name] for name in ("recipe", "measures", "steps")}
        return {**vars(case), "seed": seed, **known}, corpus.unpacked(line)
    shutil.rmtree(place, ignore_errors=True)
    measures = _measures(case, seed, place)
    trace = Trace.read(place)
    known = {"recipe": key, "measures": {k: repr(v) for k, v in measures.items()}}
    known["steps"] = trace.last_step
    _result_of(place).write_text(json.dumps(known))
    return {**vars(case), "seed": seed, **known}, trace


def played(folder: Path) -> Iterator[tuple[Row, Trace]]:
    """Every run that `folder` holds whole, of the settings that the library has now."""
    for case in library():
        for seed in range(MOST_SEEDS):
            place = place_of(case, seed, folder)
            known = _read(place)
            if known and known["recipe"] == _key(case, seed):
                yield {**vars(case), "seed": seed, **known}, Trace.read(place)


def _read(place: Path) -> Row:
    """What a finished run left beside its folder; {} where there is none."""
    result = _result_of(place)
    found: Row = json.loads(result.read_text()) if result.is_file() and place.is_dir() else {}
    return found


def _result_of(place: Path) -> Path:
    return place.parent / f"{place.name}.json"  # names have dots


def place_of(case: Case, seed: int, folder: Path) -> Path:
    """Where a run's trace is."""
    name = case.name.replace(":", "").replace(" ", "-").replace("/", "_")
    return folder / f"{name}-{seed}"


def _key(case: Case, seed: int) -> str:
    if case.preset in BUDGETS:
        return case.recipe(seed).content_hash()
    return f"{case.tokenizer.settings()!r}, {seed}"


def _measures(case: Case, seed: int, place: Path) -> dict[str, float]:
    if case.preset not in BUDGETS:
        return tokenizer.play(case.tokenizer, seed, place)[1]._asdict()
    outcome = train(case.recipe(seed), place).outcome
    for left in ("checkpoints", "samples"):
        shutil.rmtree(place / left, ignore_errors=True)
    metric = PRIMARY[case.preset]
    return {metric: outcome.metrics.get(metric, float("nan"))}
