"""`diagnose --follow`: judge a log again whenever it has grown, and say what is new."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib import request

from equipoise.clinic import diagnose
from equipoise.errors import RecordError
from equipoise.logs import read_log
from equipoise.record import Diagnosis, Finding

_PATIENCE = 60.0  # seconds that a command or webhook may take
_REST = 5.0  # a reading that took t seconds is followed by a rest of at least this many t


@dataclass(frozen=True)
class Watch:
    """How a growing log is followed.

    Attributes:
        every: seconds between two looks; more where reading takes long.
        idle: seconds without growth after which following ends; None: never.
        on_finding: a command for the shell, or an http(s) address; None: only print. A command gets
            the finding as JSON on its input and as EQUIPOISE_FAILURE, _SINCE, _CONFIDENCE,
            _SUMMARY and _PATH in its environment; an address gets the JSON by POST.
        as_json: print each finding as one line of JSON.
    """

    every: float = 10.0
    idle: float | None = None
    on_finding: str | None = None
    as_json: bool = False


@dataclass
class _Told:
    """What was said so far."""

    failures: set[str] = field(default_factory=set)
    trouble: str = ""


def follow(
    path: Path,
    mapping: Mapping[str, str],
    watch: Watch,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Diagnosis | None:
    """Follow a log or a folder of logs until it is idle; the last diagnosis, None without any.

    `say` prints a line. A log that is not there yet, or not yet understood, is waited for. A
    finding is told when it appears, and again when it had gone and comes back.

    Raises:
        RecordError: `every` or `idle` are not above 0.
    """
    for name, value in (("--every", watch.every), ("--idle", watch.idle)):
        if value is not None and not value > 0:
            raise RecordError(f"{name} {value:g}: give seconds above 0")
    told = _Told()
    last: Diagnosis | None = None
    seen: tuple[int, int] | None = None
    quiet = 0.0
    while True:
        now = _extent(path)
        rest = watch.every
        if now != seen:
            seen, quiet, start = now, 0.0, time.monotonic()
            last = _judge(path, mapping, watch, told, say) or last
            rest = max(rest, _REST * (time.monotonic() - start))
        elif watch.idle is not None and quiet >= watch.idle:
            return last
        sleep(rest)
        quiet += rest


def _extent(path: Path) -> tuple[int, int]:
    """Bytes, and nanoseconds of the newest change, of a file or of all files in a folder."""
    size = newest = 0
    files = (Path(top) / name for top, _, names in os.walk(path) for name in names)
    for file in files if path.is_dir() else (path,):
        try:
            status = file.stat()
        except OSError:  # not there yet, or gone between two looks
            continue
        size, newest = size + status.st_size, max(newest, status.st_mtime_ns)
    return size, newest


def _judge(
    path: Path, mapping: Mapping[str, str], watch: Watch, told: _Told, say: Callable[[str], None]
) -> Diagnosis | None:
    try:
        diagnosis = diagnose(read_log(path, mapping))
    except RecordError as error:
        if str(error) != told.trouble:
            told.trouble = str(error)
            _aside(f"waiting: {error}")
        return None
    current = {finding.failure for finding in diagnosis.findings}
    for gone in sorted(told.failures - current):
        if not watch.as_json:
            say(f"step {diagnosis.steps[1]}: {gone} is no longer found")
    for finding in diagnosis.findings:
        if finding.failure not in told.failures:
            _tell(path, finding, diagnosis.steps[1], watch, say)
    told.failures = current
    return diagnosis


def _tell(
    path: Path, finding: Finding, step: int, watch: Watch, say: Callable[[str], None]
) -> None:
    record: dict[str, Any] = next(
        entry
        for entry in Diagnosis("sick", (finding,)).to_dict()["findings"]
        if entry["failure"] == finding.failure
    )
    body = json.dumps({"path": str(path), "step": step, **record})
    if watch.as_json:
        say(body)
    else:
        say(
            f"step {step}: {finding.failure} since step {finding.since}, confidence"
            f" {finding.confidence:.0%}. {finding.summary}"
        )
    if watch.on_finding:
        _call(watch.on_finding, body, path, finding)


def _call(command: str, body: str, path: Path, finding: Finding) -> None:
    """Run the command or call the address; its failure is said and following goes on."""
    try:
        if command.startswith(("http://", "https://")):
            head = {"Content-Type": "application/json"}
            post = request.Request(command, body.encode(), head, method="POST")
            request.urlopen(post, timeout=_PATIENCE).close()
            return
        given = {
            "EQUIPOISE_FAILURE": finding.failure,
            "EQUIPOISE_SINCE": str(finding.since),
            "EQUIPOISE_CONFIDENCE": f"{finding.confidence:g}",
            "EQUIPOISE_SUMMARY": finding.summary,
            "EQUIPOISE_PATH": str(path),
        }
        done = subprocess.run(
            command,
            shell=True,
            input=body,
            text=True,
            timeout=_PATIENCE,
            env={**os.environ, **given},
        )
        if done.returncode:
            _aside(f"--on-finding {command!r} ended with {done.returncode}")
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        _aside(f"--on-finding {command!r} failed: {error}")


def _aside(text: str) -> None:
    print(" ".join(text.split()), file=sys.stderr, flush=True)
