"""The command line: the commands, and what becomes of an error.

Exit codes: 0 done; 1 a run that failed on its way; 2 bad input; 130 interrupted (resumable).
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from games.errors import UserError, unforeseen
from games.text import sentence
from marl.base.terminal import Terminal, print_traceback, readable_streams
from marl.cli import configs, games
from marl.cli.algorithms import algorithms
from marl.cli.evaluate import evaluate
from marl.cli.groups import WithPlugIns
from marl.cli.play import play
from marl.cli.plugins import plugins
from marl.cli.training import plot, sweep, train

app = typer.Typer(
    cls=WithPlugIns,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train agents, and rate them in tournaments, on one game contract.",
)
for command in (train, sweep, plot, evaluate, play, algorithms, plugins):
    app.command()(command)
app.add_typer(games.app, name="games")
app.add_typer(configs.app, name="configs")

_INTERRUPTED = "interrupted; what was saved is kept, and the same command (a run's with --resume) goes on from it"
UsageError: Any = typer.BadParameter.__mro__[1]  # Typer does not export the base of its usage errors


@app.callback()
def _options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Accept the options of every command; `main` reads --debug itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; turn errors into one sentence and an exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    readable_streams()
    arguments = [argument for argument in arguments if argument != "--debug"]

    def command() -> Any:
        return app(args=arguments, standalone_mode=False, prog_name="marl")

    try:
        exit_code = _printed(_run(command, debug))
    finally:
        sys.excepthook = print_traceback  # Typer has put its own there
    sys.exit(exit_code)


def _run(command: Callable[[], Any], debug: bool) -> int:
    try:
        exit_code = int(command() or 0)
        return _complain(_INTERRUPTED, exit_code) if exit_code == 130 else exit_code  # Typer turns Ctrl-C into 130
    except UserError as error:
        if debug:
            raise
        return _complain(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _complain(_INTERRUPTED, 130)
    except typer.Exit as done:
        return done.exit_code
    except UsageError as error:  # a wrong option, a missing argument; without a message the help was shown instead
        message = _in_our_words(error)
        return _complain(f"{message} (--help shows what there is)", 2) if message else 2
    except BrokenPipeError:
        return 1
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # whoever first looked for it
            return _complain(f"expected a path, got '{error.filename}', which is too long; name another", 2)
        return _complain(f"{unforeseen(error)} (--debug shows where; please report it)", 1)


def _in_our_words(error: Any) -> str:
    """Return the message of a usage error; of a value that does not fit, what was expected and what came."""
    from pydantic import ValidationError

    from marl.base.faults import first_fault

    if isinstance(error.__cause__, ValidationError):
        error.message = first_fault(error.__cause__, None).text
    return str(error.format_message())


def _printed(exit_code: int) -> int:
    """Write out what was printed; where that fails, say so here, or the interpreter does as it ends, in its own words.

    Whoever reads a pipe may close it (`| head`), and is told nothing.
    """
    try:
        if sys.stdout is not None:  # it is closed
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if exit_code == 0 and not isinstance(error, BrokenPipeError):
            return _complain(f"{unforeseen(error)}: what was printed is not all there", 1)
        return exit_code or 1
    return exit_code


def _complain(message: str, exit_code: int) -> int:
    Terminal(stderr=True).print(sentence(f"marl: {message}"))
    return exit_code
