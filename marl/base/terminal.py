"""The terminal: the one place that prints.

Names, messages and the text of games come from other people. Markup in them has no effect, and control characters are
spelled out (games/text.py): in printed lines, in the cells of tables, in progress bars.
"""

import io
import json
import re
import sys
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from rich.ansi import AnsiDecoder
from rich.console import Console, ConsoleOptions, JustifyMethod, OverflowMethod, RenderableType
from rich.progress import TextColumn
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from games.text import shown

# The escape sequences that a game may print: colours, bold, underlined, reversed. None of them hides text.
COLOUR = re.compile(r"(\x1b\[(?:(?:0|1|4|7|[349][0-7]|10[0-7])(?:;|(?=m)))*m)")


class Terminal(Console):
    """Print text as it is written: a string is one line, without markup and control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)

    def render_str(
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        **_: Any,
    ) -> Text:
        """Make a string renderable; markup stays plain text, whatever the caller asks for."""
        return Text(shown(text), style=style, justify=justify, overflow=overflow)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything; control characters that are left in its text are spelled out here."""
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or text == "\n":
                yield segment
            else:
                yield Segment("\n".join(map(shown, text.split("\n"))), segment.style)

    def block(self, text: str) -> None:
        """Print text of several lines, such as a table in Markdown or a position; a game may colour what it prints."""
        for line in text.expandtabs().split("\n"):
            parts = COLOUR.split(line)
            if len(parts) == 1 or not self.color_system:
                self.print(line)
            else:
                self.print(AnsiDecoder().decode_line("".join(p if COLOUR.match(p) else shown(p) for p in parts)))

    def write_json(self, data: dict[str, Any]) -> None:
        """Print one JSON object in printable ASCII; all else is escaped."""
        self.file.write(json.dumps(data, indent=1).replace("\x7f", "\\u007f") + "\n")

    def ask(self, prompt: str) -> str:
        """Print a prompt and return the line that is typed; raises EOFError where there is none."""
        self.print(prompt, end="")
        self.file.flush()
        return input()


class Words(TextColumn):
    """A column of a progress bar that shows text as it is written."""

    def __init__(self, form: str) -> None:
        super().__init__(form, markup=False)


def readable_streams() -> None:
    """Raise no encoding errors: spell out characters that the output cannot show; replace input that is not text."""
    for stream, errors in ((sys.stdout, "backslashreplace"), (sys.stderr, "backslashreplace"), (sys.stdin, "replace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print where an error came from, as everything else is printed; for `sys.excepthook`."""
    Terminal(stderr=True).block("".join(traceback.format_exception(kind, error, trace)).rstrip())
