"""The command line: the same verbs as the Python API, for terminals, scripts and cron.

Results go to standard output, everything else (bars, warnings, errors) to standard error. With ``--json`` standard
output holds exactly one JSON document, and an error is one JSON document on standard error.

=====  ===============================================================================
code   meaning
=====  ===============================================================================
0      done; ``diff``: no difference; ``plan``: no conflict
1      ``diff``: there are differences; no error has this number
2      wrong use: options, unknown table or column, a condition that does not parse
3      the database does not answer, or refuses
4      the selection contradicts the data: orphans, a missing file, a value not exact
5      not a package, not complete or not valid; the destination exists already
6      package and target do not fit
7      conflicts that nobody decided, or the target changed since the plan
8      the database refused the merge; all of it was rolled back
70     an error of no other kind, or a bug
130    interrupted (Ctrl-C); what was done by then, or that nothing was, stands on standard error
141    standard output was not written whole: its reader left (``| head``), or its disk is full
143    the same as 130, by SIGTERM
=====  ===============================================================================

A password never appears: addresses are shown without it, and it is cut from every error. ``env:NAME`` in place of an
address reads it from an environment variable, so that the password is in no list of processes either.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from datatransfer import interrupts
from datatransfer.cli.arguments import make_parser
from datatransfer.cli.output import Output, OutputLostError
from datatransfer.cli.parser import WrongOptions
from datatransfer.errors import DataTransferError, UsageError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Examples
    --------
    >>> main(["tables", "nowhere"])
    2
    """
    typed = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = make_parser().parse_args(typed)
    except WrongOptions as wrong:
        if not any(word.startswith("--j") for word in typed):  # as the parser itself would: --json may be shortened
            wrong.exit()
        Output(as_json=True).error(UsageError(str(wrong), hint=f"see {wrong.command} --help"))
        return UsageError.exit_code
    out = Output(as_json=options.json, quiet=options.quiet, arguments=vars(options))
    try:
        with _ended_cleanly(), out:
            code = int(options.run(options, out))
            out.flush()
            return code
    except DataTransferError as error:
        out.error(error)
        return error.exit_code
    except KeyboardInterrupt as error:
        out.interrupted(str(error))
        return 143 if isinstance(error, interrupts.Terminated) else 130
    except BrokenPipeError:  # the reader (head, less) left; nothing to say, and nobody to say it to
        out.abandon()
        return 141
    except OutputLostError as error:
        out.lost(error)
        return 141
    except Exception as error:
        out.bug(error)
        return DataTransferError.exit_code


@contextmanager
def _ended_cleanly() -> Iterator[None]:
    """Have SIGTERM end a command as Ctrl-C does."""
    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if mine:
        signal.signal(signal.SIGTERM, interrupts.terminate)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
