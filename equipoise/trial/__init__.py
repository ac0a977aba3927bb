"""Try: watched runs, paired trials, exact statistics, the ledger."""

from equipoise.trial.conduct import LEDGER, conduct, enter_run
from equipoise.trial.design import Arm, Design, parse_arm, plan
from equipoise.trial.ledger import Ledger, RunRow
from equipoise.trial.local import Cell, CellResult, run_cells
from equipoise.trial.run import Run, carry_on, read_diagnosis, train
from equipoise.trial.statistics import (
    Decision,
    decide,
    fewest_seeds,
    holm,
    sign_flip_p_value,
    t_interval,
)

__all__ = [
    "LEDGER",
    "Arm",
    "Cell",
    "CellResult",
    "Decision",
    "Design",
    "Ledger",
    "Run",
    "RunRow",
    "carry_on",
    "conduct",
    "decide",
    "enter_run",
    "fewest_seeds",
    "holm",
    "parse_arm",
    "plan",
    "read_diagnosis",
    "run_cells",
    "sign_flip_p_value",
    "t_interval",
    "train",
]
