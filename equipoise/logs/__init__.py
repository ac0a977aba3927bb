"""Other people's records: text, tables, JSON lines, TensorBoard, W&B and MLflow, read as a trace.

No torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from equipoise.logs.columns import Columns
from equipoise.logs.folder import read_folder
from equipoise.logs.reader import read_file
from equipoise.record import Trace

__all__ = ["read_log"]


def read_log(path: str | os.PathLike[str], mapping: Mapping[str, str] | None = None) -> Trace:
    """The trace in a run directory, or the trace that a foreign log amounts to.

    Reads our own `trace.jsonl`; what training loops print (`Loss_D: 0.5`, `[D loss: 0.5]`,
    `Gen/Dis Loss: a/b`, progress bars); CSV and TSV with a head, Parquet, JSON and JSON lines
    (StyleGAN's stats and metric files, W&B's history); TensorBoard event files; a run of an MLflow
    file store; a folder of these, merged by step. `mapping` gives our name (or "step", "epoch",
    "kimg") for theirs where the table of aliases has no word for it. `facts["log"]` says what was
    understood: format, lines, mapping, unmapped names, what a step counts, every assumption.

    Raises:
        RecordError: the path cannot be read, or nothing in it could be understood.
        MissingExtraError: its format needs a package that is not installed.
    """
    place = Path(path)
    words = mapping or {}
    return read_folder(place, words) if place.is_dir() else read_file(place, Columns(words))
