"""`audit`: run a function of the user's until the wiring of what it trains is audited."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from equipoise.cli.say import console, diagnosis_markdown, say, say_diagnosis
from equipoise.clinic import diagnose
from equipoise.errors import RecordError, StopTraining, nearest
from equipoise.record import Diagnosis, Trace


def audit_function(target: str, steps: int, as_json: bool, as_markdown: bool) -> str:
    """Call MODULE:FUNCTION, audit each monitor that it attaches, print, and return the verdict.

    The function is called without arguments and trains as usual, with `equipoise.Monitor` attached
    and `observe` called; the first audit that is over ends it.

    Raises:
        RecordError: no such module or function, no monitor attached, or both ways of printing.
    """
    if as_json and as_markdown:
        raise RecordError("--json and --markdown: one answer has one form; give one of the two")
    function = _function(target)
    trace = _audited(function, target, steps)
    diagnosis = _judged(trace)
    if as_json:
        sys.stdout.write(json.dumps(diagnosis.to_dict(), indent=1) + "\n")
    elif as_markdown:
        sys.stdout.write(diagnosis_markdown(diagnosis))
    else:
        _say(trace, diagnosis)
    return diagnosis.verdict


def _function(target: str) -> Callable[[], Any]:
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise RecordError(f"{target!r}: give MODULE:FUNCTION, e.g. train:main")
    if os.getcwd() not in sys.path:  # as `python -m MODULE` finds it
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise RecordError(f"{module_name} imports {error.name!r}, which is missing") from error
        raise RecordError(
            f"{target!r}: no module {error.name!r}; run this where `python -m {module_name}` works"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        guess = nearest(name, [n for n in vars(module) if callable(getattr(module, n))])
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise RecordError(f"{target!r}: {module_name} has no function {name!r}{hint}")
    return function  # type: ignore[no-any-return]  # callable, as just checked


def _audited(function: Callable[[], Any], target: str, steps: int) -> Trace:
    """The trace of the first monitor whose audit is over, else of the first."""
    from equipoise.monitor import Monitor
    from equipoise.monitor.audit import auditing

    with auditing(Monitor, steps) as monitors:
        _call(function, target)
    if not monitors:
        raise RecordError(
            f"{target!r} attached no monitor: build equipoise.Monitor(generator, discriminator,"
            " generator_optimizer, discriminator_optimizer) in it and call observe"
        )
    traces: list[Trace] = [monitor.trace() for monitor in monitors]
    return next((t for t in traces if _state(t).get("over")), traces[0])


def _call(function: Callable[[], Any], target: str) -> None:
    """Let the loop run; what it prints goes to stderr, what it raises is named as its own.

    Raises:
        RecordError: the function raised something.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            function()
    except (StopTraining, SystemExit):
        return
    except Exception as error:
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}"
        raise RecordError(f"{target!r} raised {said}; it must run by itself first") from error


def _state(trace: Trace) -> dict[str, Any]:
    state = trace.facts.get("audit")
    return state if isinstance(state, dict) else {}


def _judged(trace: Trace) -> Diagnosis:
    """The diagnosis, called healthy where the audit saw all that it asks for and found nothing."""
    from dataclasses import replace

    diagnosis, state = diagnose(trace), _state(trace)
    span = (int(state.get("since") or 0), int(state.get("until") or 0))
    whole = state.get("over") and not state.get("unseen")
    verdict = "healthy" if whole and diagnosis.verdict == "inconclusive" else diagnosis.verdict
    return replace(diagnosis, verdict=verdict, steps=span, missing={})


def _say(trace: Trace, diagnosis: Diagnosis) -> None:
    out, state = console(), _state(trace)
    updates = ", ".join(f"{n} of the {name}" for name, n in state.get("updates", {}).items())
    say(out, f"audited {state.get('iterations', 0)} iterations, updates: {updates or 'none'}")
    say_diagnosis(out, diagnosis)
    if not state.get("over"):
        say(out, "Not seen: the function ended before the audit did; let it train longer")
    for what in state.get("unseen", ()):
        say(out, f"Not seen: {what}")
