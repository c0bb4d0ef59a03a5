"""The command `thoughtgraph`. Commands import what they need when they run, so that help answers at once."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from .. import __version__
from ..graph.errors import ThoughtGraphError
from . import calls, compare, db, doctor, pass_at_k, run, schemes, show, solve
from .codes import EPILOG, ExitCode, code_of
from .driving import RESUME_NOTE
from .output import line, tell

app = typer.Typer(
    help="Solve problems by search over thoughts, every thought in a database.",
    epilog=EPILOG,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
)
app.command()(solve.solve)
app.command()(run.run)
app.command()(run.resume)
app.command()(compare.compare)
app.command()(show.show)
app.command()(show.runs)
app.command()(schemes.schemes)
app.command()(pass_at_k.pass_at_k)
app.command()(calls.tools)
app.command()(calls.calls)
app.command()(calls.decide)
app.add_typer(db.app, name="db")
app.command()(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"thoughtgraph {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Solve problems by search over thoughts, every thought in a database.

    Every option has an environment variable, THOUGHTGRAPH_ with its name. Data goes to stdout, progress and errors to stderr.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; see `codes.ExitCode`."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(
                errors="backslashreplace"
            )  # a terminal that cannot show a character still shows the rest
    command = typer.main.get_command(app)
    try:
        return int(command.main(argv, prog_name="thoughtgraph", standalone_mode=False) or ExitCode.OK)
    except typer.TyperException as error:
        return _usage_error(error)
    except (KeyboardInterrupt, typer.Abort):
        tell("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough; the flush at exit must not complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a traceback
        return _failed(error)


def _usage_error(error: typer.TyperException) -> ExitCode:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if "\n" in message.strip():  # a command that was given nothing answers with its help
        tell(message)
    else:
        path = context.command_path if context is not None else "thoughtgraph"
        tell(f"error: {line(message).rstrip('.')}; see: {path} --help")
    return ExitCode.USAGE


def _failed(error: Exception) -> ExitCode:
    if os.environ.get("THOUGHTGRAPH_DEBUG"):
        tell(traceback.format_exc().rstrip())
    if isinstance(error, ThoughtGraphError):
        tell(f"error: {line(error)}")
    else:
        what = f"{type(error).__name__}: {line(error)}".rstrip(": ")
        tell(f"error: unexpected {what}; set THOUGHTGRAPH_DEBUG=1 and repeat it to see where")
    for note in getattr(error, "__notes__", ()):
        if note.startswith(RESUME_NOTE):  # other libraries add notes too
            tell(note)
    return code_of(error)
