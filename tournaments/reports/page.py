"""HTML pages: templates that share their style (page.css.j2) and escape whatever they show."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from games.text import shown

if TYPE_CHECKING:
    from jinja2 import Environment


def page(template: Path, **facts: Any) -> str:
    """Return a page from its template and the facts that it shows."""
    return environment(template.parent).get_template(template.name).render(**facts)


def environment(folder: Path) -> "Environment":
    """Return the templates of a folder, and those of reports; jinja2 is imported here, where a page is made."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: shown(value) if type(value) is str else value,  # Markup is escaped already
    )
