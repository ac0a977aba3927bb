"""What a run is: frozen, typed, validated recipes; presets; edits by dotted path. No torch."""

from equipoise.recipe.edits import difference
from equipoise.recipe.files import dump, load, parse, parse_settings, preset_names
from equipoise.recipe.schema import (
    Augment,
    Balance,
    Checkpoint,
    Compute,
    Data,
    Ema,
    Evaluation,
    Generator,
    Network,
    Objective,
    Optimizer,
    Optimizers,
    Penalty,
    Recipe,
    Schedule,
)

__all__ = [
    "Augment",
    "Balance",
    "Checkpoint",
    "Compute",
    "Data",
    "Ema",
    "Evaluation",
    "Generator",
    "Network",
    "Objective",
    "Optimizer",
    "Optimizers",
    "Penalty",
    "Recipe",
    "Schedule",
    "difference",
    "dump",
    "load",
    "parse",
    "parse_settings",
    "preset_names",
]
