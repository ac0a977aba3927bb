"""Readings and findings in an MLflow run."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from equipoise.errors import naming_extras
from equipoise.monitor.sinks.sink import PREFIX, folder, is_folder, keeping_chance
from equipoise.record import SIGNALS, Finding

MOST = 1000  # metrics that MLflow takes in one batch
LONGEST = 5000  # characters of a tag
EXPERIMENT = "equipoise"
ALLOW = "MLFLOW_ALLOW_FILE_STORE"  # MLflow 3.17 and later open a file store only where it is "true"
FORBIDDEN = re.compile(r"[^\w./ :-]")  # in the names of metrics and tags


class MLflowSink:
    """A metric `<prefix><signal>` per reading at the monitor's step, a tag per finding.

    Metrics go by the run's id, in one call a tick, so the loop's active run is left as it is.
    Characters that MLflow takes in no name become "_". Its file store makes a file of a metric and
    a folder of what stands before a slash, which cannot have one name: all slashes but the first
    become dots, and the first too where the part before it is a signal itself.

    >>> Monitor(g, d, sinks=[MLflowSink(mlflow.start_run())])          # doctest: +SKIP
    """

    def __init__(self, target: Any, *, prefix: str = PREFIX) -> None:
        """`target`: the loop's own run, which stays active, or a folder for a file store.

        Raises:
            MissingExtraError: MLflow is not installed.
            ValueError: the target is neither.
        """
        self._opened = is_folder(target)
        self._prefix = prefix
        if not self._opened and not hasattr(target, "info"):
            raise ValueError(
                f"target is {type(target).__name__}: pass what mlflow.start_run() returned, or a"
                " folder"
            )
        with naming_extras():
            self._metric = import_module("mlflow.entities").Metric
            client = import_module("mlflow.tracking").MlflowClient
        if self._opened:
            with keeping_chance():
                self._client, self._run = _begin(client, target)
        else:
            self._client, self._run = client(), target.info.run_id

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One metric per value, all with one time."""
        now = int(time.time() * 1000)
        rows = [self._metric(self._named(n), v, now, step) for n, v in values.items()]
        for start in range(0, len(rows), MOST):
            self._client.log_batch(self._run, metrics=rows[start : start + MOST])

    def finding(self, step: int, finding: Finding) -> None:
        """The confidence as a metric, the sentence as a tag."""
        name = f"finding/{finding.failure}"
        self.write(step, {f"{name}/confidence": finding.confidence})
        words = f"since step {finding.since}: {finding.summary}"
        self._client.set_tag(self._run, self._named(name), words[:LONGEST])

    def close(self) -> None:
        """End the run if this sink began it."""
        if self._opened:
            self._client.set_terminated(self._run)

    def _named(self, name: str) -> str:
        head, slash, rest = name.partition("/")
        first = "." if head in SIGNALS else slash
        return FORBIDDEN.sub(
            "_", f"{self._prefix}{head}{first if slash else ''}{rest.replace('/', '.')}"
        )


def _begin(client: Any, target: Any) -> tuple[Any, str]:
    """A client that writes plain files, and a new run; the environment is as before after it."""
    before = os.environ.get(ALLOW)
    os.environ[ALLOW] = "true"
    try:
        store = client(tracking_uri=folder(target).as_uri())
    finally:
        if before is None:
            del os.environ[ALLOW]
        else:
            os.environ[ALLOW] = before
    known = store.get_experiment_by_name(EXPERIMENT)
    experiment = known.experiment_id if known else store.create_experiment(EXPERIMENT)
    return store, store.create_run(experiment).info.run_id
