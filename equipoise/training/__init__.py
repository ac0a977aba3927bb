"""Play: from a recipe to objects, one straight loop, exact resume."""

from equipoise.training.build import build
from equipoise.training.checkpoint import Progress, load, load_generator, restore, save
from equipoise.training.evaluation import evaluate, generate
from equipoise.training.fits import check_names
from equipoise.training.game import Game
from equipoise.training.loop import play
from equipoise.training.observer import (
    CONTINUE,
    Answer,
    Continue,
    Iteration,
    Observer,
    Rollback,
    Stop,
)
from equipoise.training.players import PLAYERS
from equipoise.training.run import Outcome, environment, resume, start

__all__ = [
    "CONTINUE",
    "PLAYERS",
    "Answer",
    "Continue",
    "Game",
    "Iteration",
    "Observer",
    "Outcome",
    "Progress",
    "Rollback",
    "Stop",
    "build",
    "check_names",
    "environment",
    "evaluate",
    "generate",
    "load",
    "load_generator",
    "play",
    "restore",
    "resume",
    "save",
    "start",
]
