"""The ledger: every run and every verdict of every trial, append-only, in one SQLite file."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from equipoise.errors import RecordError
from equipoise.record import TrialRow

SCHEMA = 1
_APPLICATION = 0x45515549  # "EQUI", SQLite's mark of whose file it is
_PATIENCE = 30.0  # seconds to wait for another writer

_TABLES = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    recipe_hash TEXT NOT NULL,
    seed INTEGER NOT NULL,
    arm TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed')),
    "values" TEXT NOT NULL,
    reason TEXT NOT NULL,
    seconds REAL NOT NULL,
    created TEXT NOT NULL,
    code_version TEXT NOT NULL,
    environment TEXT NOT NULL
);
CREATE UNIQUE INDEX finished_once ON runs (recipe_hash, seed, code_version) WHERE status = 'ok';
CREATE INDEX runs_by_cell ON runs (recipe_hash, seed, code_version);
CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY,
    trial TEXT NOT NULL,
    created TEXT NOT NULL,
    baseline_hash TEXT NOT NULL,
    arm TEXT NOT NULL,
    metric TEXT NOT NULL,
    verdict TEXT NOT NULL,
    "row" TEXT NOT NULL
);
CREATE INDEX verdicts_by_trial ON verdicts (trial);
CREATE INDEX verdicts_by_baseline ON verdicts (baseline_hash, arm);
CREATE TRIGGER runs_stay BEFORE UPDATE ON runs
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: runs are never changed'); END;
CREATE TRIGGER runs_last BEFORE DELETE ON runs
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: runs are never deleted'); END;
CREATE TRIGGER verdicts_stay BEFORE UPDATE ON verdicts
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: verdicts are never changed'); END;
CREATE TRIGGER verdicts_last BEFORE DELETE ON verdicts
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: verdicts are never deleted'); END;
"""
_FIND = """SELECT * FROM runs WHERE recipe_hash = ? AND seed = ? AND code_version = ?
    ORDER BY status = 'ok' DESC, id DESC LIMIT 1"""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RunRow:
    """One run of one recipe with one seed.

    Attributes:
        recipe_hash: content hash of the recipe (without its seed).
        seed: the run's seed.
        arm: name of the arm, for people.
        status: "ok", or "failed" when it ended without a value.
        values: final metrics by name.
        reason: what happened to a failed run.
        seconds: wall time.
        code_version: version of the code that ran; other code is another cell.
        environment: versions and hardware.
        created: UTC time, ISO 8601.
    """

    recipe_hash: str
    seed: int
    arm: str
    status: Literal["ok", "failed"]
    values: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    code_version: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    created: str = field(default_factory=_now)


class Ledger:
    """The ledger in the file `path`, made if absent. Several processes may write to it at once.

    SQLite's rollback journal is used (not the write-ahead log, whose shared memory fails on network
    file systems) and every entry is synchronized: what `add_run` or `add_verdict` returned from
    survives a kill, and a writer killed in the middle of an entry leaves the ledger as it was.

    Raises:
        RecordError: the file is no ledger, was written by a later version, or cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], patience: float = _PATIENCE) -> None:
        """`patience`: seconds to wait while another process writes."""
        self.path = Path(path)
        self.patience = patience
        with self._telling():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=patience, isolation_level=None)
            self._database.row_factory = sqlite3.Row
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def add_run(self, run: RunRow) -> RunRow:
        """Enter a run and return the row that stands.

        A cell (recipe, seed, code version) is finished once: if another process finished it first,
        its row stands and is returned. Failed attempts are all kept.

        Raises:
            ValueError: a status other than "ok" or "failed".
            RecordError: the file system or another writer refused.
        """
        if run.status not in ("ok", "failed"):
            raise ValueError(f"status = {run.status!r} must be 'ok' or 'failed'")
        cells = (
            *(run.recipe_hash, run.seed, run.arm, run.status, _dumped(run.values), run.reason),
            *(run.seconds, run.created, run.code_version, _dumped(run.environment)),
        )
        with self._telling(), self._transaction():
            self._database.execute(
                'INSERT INTO runs (recipe_hash, seed, arm, status, "values", reason, seconds,'
                " created, code_version, environment) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                cells,
            )
            cell = (run.recipe_hash, run.seed, run.code_version)
            return _run_row(self._database.execute(_FIND, cell).fetchone())

    def find_run(self, recipe_hash: str, seed: int, code_version: str = "") -> RunRow | None:
        """The run of this cell: the finished one, else the newest failed one, else None."""
        with self._telling():
            row = self._database.execute(_FIND, (recipe_hash, seed, code_version)).fetchone()
        return _run_row(row) if row else None

    def add_verdict(self, row: TrialRow) -> None:
        """Enter what a trial decided.

        Raises:
            RecordError: the file system or another writer refused.
        """
        cells = (row.trial, row.created, row.baseline_hash, row.arm, row.metric, row.verdict)
        with self._telling(), self._transaction():
            self._database.execute(
                'INSERT INTO verdicts (trial, created, baseline_hash, arm, metric, verdict, "row")'
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*cells, _dumped(row.to_dict())),
            )

    def verdicts(self, limit: int | None = None) -> list[TrialRow]:
        """The verdicts, the oldest first; with `limit` the newest so many."""
        count = -1 if limit is None else max(0, limit)
        with self._telling():
            rows = self._database.execute(
                'SELECT "row" FROM verdicts ORDER BY id DESC LIMIT ?', (count,)
            ).fetchall()
        return [TrialRow.from_dict(_loaded(row["row"])) for row in reversed(rows)]

    def close(self) -> None:
        """Close the file; doing so twice does nothing."""
        self._database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self) -> None:
        """Make the tables of a new file; refuse a file that is not ours."""
        self._database.execute("PRAGMA synchronous = FULL")
        if self._is_new():
            with self._transaction():
                if self._is_new():  # another process may have made them while this one waited
                    for statement in _statements(_TABLES):
                        self._database.execute(statement)
                    self._database.execute(f"PRAGMA application_id = {_APPLICATION}")
                    self._database.execute(f"PRAGMA user_version = {SCHEMA}")
        version, owner = self._pragma("user_version"), self._pragma("application_id")
        if owner != _APPLICATION:
            raise RecordError(
                f"{self.path} is an SQLite database but not a ledger; give another path"
            )
        if version > SCHEMA:
            raise RecordError(
                f"{self.path} has ledger schema {version}, this version reads up to {SCHEMA};"
                " upgrade equipoise"
            )

    def _is_new(self) -> bool:
        return not self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]

    def _pragma(self, name: Literal["user_version", "application_id"]) -> int:
        return int(self._database.execute(f"PRAGMA {name}").fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")  # waits here, so that the block never has to
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what SQLite and the file system say into one line with the path and the way out."""
        try:
            yield
        except sqlite3.Error as error:
            raise RecordError(f"ledger {self.path}: {self._explained(error)}") from error
        except OSError as error:
            raise RecordError(
                f"ledger {self.path} cannot be opened: {error.strerror or error};"
                " give a path in a folder that can be written"
            ) from error

    def _explained(self, error: sqlite3.Error) -> str:
        text = str(error)
        advice = {
            "not a database": "the file is not a ledger; give another path",
            "malformed": "the file is damaged; restore it from a backup or give another path",
            "locked": f"another process has been writing for {self.patience:g} s; try again",
            "readonly": "the file cannot be written; check its permissions or give another path",
            "unable to open": "it cannot be opened; give a path in a folder that can be written",
            "full": "the disk is full; free some space (what was complete before is kept)",
        }
        return next((a for key, a in advice.items() if key in text), text)


def _statements(script: str) -> Iterator[str]:
    """The statements of an SQL script (a trigger holds semicolons of its own)."""
    part = ""
    for line in script.strip().splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""


def _run_row(row: sqlite3.Row) -> RunRow:
    cells = {key: row[key] for key in row.keys() if key != "id"}  # noqa: SIM118 - not a mapping
    cells["values"], cells["environment"] = _loaded(row["values"]), _loaded(row["environment"])
    return RunRow(**cells)


def _dumped(value: Mapping[str, Any]) -> str:
    """JSON; numbers that JSON does not know become {"number": "nan"}, and come back from it."""
    return json.dumps(_marked(value), ensure_ascii=False, allow_nan=False)


def _marked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _marked(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(inner) for inner in value]
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    return (
        {"number": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value
    )


def _loaded(text: str) -> Any:
    return json.loads(text, object_hook=lambda d: float(d["number"]) if _is_number(d) else d)


def _is_number(data: Mapping[str, Any]) -> bool:
    return set(data) == {"number"} and data["number"] in ("nan", "inf", "-inf")
