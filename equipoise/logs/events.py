"""TensorBoard event files -> names and numbers, by TensorBoard's own record reader."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from equipoise.errors import RecordError, need
from equipoise.logs.records import Line

MARK = "tfevents"  # in the name of every event file


def read_events(files: Sequence[Path]) -> Iterator[Line | None]:
    """A `Line` per scalar summary of event files in order; None for a record that is damaged.

    Reading a file ends at its first torn record, as TensorBoard's does. Histograms, images and
    text are passed over.

    Raises:
        MissingExtraError: TensorBoard is not installed.
        RecordError: a file cannot be opened.
    """
    try:
        loaders = import_module("tensorboard.backend.event_processing.event_file_loader")
        event = import_module("tensorboard.compat.proto.event_pb2").Event
    except ImportError as error:
        raise need("tensorboard", "tensorboard") from error
    for file in files:
        loader = loaders.RawEventFileLoader(str(file))
        records = loader.Load()
        while True:
            try:
                record = next(records)
            except StopIteration:
                break
            except OSError as error:
                raise RecordError(f"cannot read log {file}: {error}; check the path") from error
            except Exception:  # a torn record; TensorBoard's stand-in for TensorFlow raises its own
                yield None
                break
            yield from _scalars(record, event)


def _scalars(record: bytes, kind: Any) -> Iterator[Line | None]:
    try:
        event = kind.FromString(record)
    except Exception:  # protobuf's DecodeError, whose home differs between its versions
        yield None
        return
    for value in event.summary.value:
        number = _scalar(value)
        if number is not None:
            clock = {"step": float(event.step), "timestamp": float(event.wall_time)}
            yield Line(clock, {value.tag: number})


def _scalar(value: Any) -> float | None:
    """The number of a summary: a `simple_value`, or a tensor of one element (TensorFlow 2)."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor" or value.metadata.plugin_data.plugin_name not in ("", "scalars"):
        return None
    if math.prod(max(d.size, 0) for d in value.tensor.tensor_shape.dim) != 1:
        return None
    try:
        return float(
            import_module("tensorboard.util.tensor_util").make_ndarray(value.tensor).reshape(())
        )
    except (TypeError, ValueError):  # a string, or a tensor without content
        return None
