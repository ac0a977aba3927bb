"""Where readings and findings go besides the trace: other people's trackers, or a function."""

from equipoise.monitor.sinks.mlflow import MLflowSink
from equipoise.monitor.sinks.sink import Called, Sink, Sinks, Tap
from equipoise.monitor.sinks.tensorboard import TensorBoardSink
from equipoise.monitor.sinks.trackio import TrackioSink
from equipoise.monitor.sinks.wandb import WandbSink

__all__ = [
    "Called",
    "MLflowSink",
    "Sink",
    "Sinks",
    "Tap",
    "TensorBoardSink",
    "TrackioSink",
    "WandbSink",
]
