"""The door, and its exit codes.

0 healthy or done, 1 sick, 2 bad input, 3 inconclusive, 70 a bug, 130 interrupted; 141 is what a
reader that went away (`| head -1`) leaves, as with every tool in a pipe.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from itertools import pairwise

BAD_INPUT, INTERNAL, INTERRUPTED, UNHEARD = 2, 70, 130, 141


def main() -> None:
    """Run the command line and exit."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # escape what a terminal cannot draw
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(_code())


def _code() -> int:
    from equipoise.cli.app import app
    from equipoise.errors import EquipoiseError, naming_extras

    try:
        with naming_extras():
            code = app(standalone_mode=False, prog_name="equipoise")
        sys.stdout.flush()
    except EquipoiseError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return _unheard()
    except SystemExit as leaving:  # rich and typer turn a broken pipe into this, with code 1
        if isinstance(leaving.__context__, BrokenPipeError):
            return _unheard()
        raise
    except OSError as error:
        return _refuse(f"{error.filename or 'a file'}: {error.strerror or error}")
    except Exception as error:
        return _usage(error)
    return int(code) if isinstance(code, int) else 0


def _refuse(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def _unheard() -> int:
    """Let the interpreter's last flush go nowhere, so that nothing is said of the broken pipe."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNHEARD


def _usage(error: Exception) -> int:
    """The command line's own errors carry a code and show themselves; anything else is a bug."""
    if type(error).__name__ == "Abort":
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]  # named just above
        return BAD_INPUT
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "equipoise"
        return _refuse(f"{_in_our_words(error)} (see: {command} --help)")
    traceback.print_exc()
    print(
        "internal error: this is a bug in equipoise; please report the lines above", file=sys.stderr
    )
    return INTERNAL


def _in_our_words(error: Exception) -> str:
    """What the command line's parser says, with the value that it leaves out."""
    said = str(error.format_message())  # type: ignore[attr-defined]  # no public base
    given = _given(getattr(getattr(error, "param", None), "opts", ()))
    if given is not None:
        said = said.replace("Invalid value for", f"invalid value {given!r} for", 1)
    return said[:1].lower() + said[1:].rstrip(".")


def _given(options: tuple[str, ...] | list[str]) -> str | None:
    """What was typed after one of `options`, None where it is not found."""
    for option, value in pairwise([*sys.argv[1:], ""]):
        name, equals, attached = option.partition("=")
        if name in options:
            return attached if equals else value
    return None
