"""The door: exit codes 0 healthy or done, 1 sick, 2 bad input, 3 inconclusive, 70 bug, 130 interrupted."""

from __future__ import annotations

import sys
import traceback

BAD_INPUT, INTERNAL, INTERRUPTED = 2, 70, 130


def main() -> None:
    """Run the command line and exit."""
    sys.exit(_code())


def _code() -> int:
    from equipoise.cli.app import app
    from equipoise.errors import EquipoiseError

    try:
        code = app(standalone_mode=False)
    except EquipoiseError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe went away: nothing is left to say
        return 0
    except OSError as error:
        return _refuse(f"{error.filename or 'a file'}: {error.strerror or error}")
    except Exception as error:
        return _usage(error)
    return int(code) if isinstance(code, int) else 0


def _refuse(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def _usage(error: Exception) -> int:
    """The command line's own errors carry a code and show themselves; anything else is a bug."""
    if type(error).__name__ == "Abort":
        return INTERRUPTED
    if hasattr(error, "show") and hasattr(error, "exit_code"):
        error.show()
        return int(error.exit_code)
    traceback.print_exc()
    print(
        "internal error: this is a bug in equipoise; please report the lines above", file=sys.stderr
    )
    return INTERNAL
