"""The `keenframe` command.

Exit codes: 0 all done, 1 something could not be done (one line on stderr says what), 2 wrong usage, 130
Ctrl-C. With KEENFRAME_DEBUG=1 errors show their traceback.
"""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Entry point: parse the command line, run the command, exit."""
    from keenframe.cli import stop
    from keenframe.errors import KeenframeError

    stop.install()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A file's name need not be text in any encoding; stderr escapes such a one by itself.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _run()
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer makes the second of the first, without a word.
        if isinstance(end, SystemExit) and end.code != 130:
            raise
        _fail("stopped", 130)
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeenframeError as error:
        _show_trace()
        _fail(str(error), 1)
    except OSError as error:
        # What nothing closer to it foresaw: a folder that may not be looked into, a full disk.
        from keenframe.media.files import words

        _show_trace()
        _fail(words(error), 1)
    except MemoryError:
        _show_trace()
        _fail("out of memory — close other programs, or use smaller pictures", 1)
    except Exception as error:
        _show_trace()
        _fail(
            f"unexpected {type(error).__name__}: {error} — this is a bug: "
            "set KEENFRAME_DEBUG=1, try again, and report what it shows",
            1,
        )
    sys.exit(0)


def _run() -> None:
    from keenframe.cli import stop

    try:
        from keenframe.cli.app import app

        app(prog_name="keenframe")
    except ImportError:
        # What a compiled library makes of a signal that strikes while it is being loaded.
        stop.check()
        raise


def _show_trace() -> None:
    if os.environ.get("KEENFRAME_DEBUG", "") not in ("", "0"):
        import traceback

        traceback.print_exc()


def _fail(message: str, code: int) -> NoReturn:
    print(f"keenframe: {message}", file=sys.stderr)
    sys.exit(code)
