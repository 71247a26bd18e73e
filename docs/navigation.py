"""A hook of the site: a folder in the navigation (`decisions/`) stands for its index and all its pages, by name.

So a new decision needs no line elsewhere. The folder's index ends with a list of its pages.
"""

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Replace each folder in the navigation by the list of its pages."""
    config.nav = _expanded(config.nav, Path(config.docs_dir))
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Append the list of decisions to their index."""
    if page.file.src_uri != "decisions/index.md":
        return markdown
    folder = Path(page.file.abs_src_path).parent
    return markdown + "\n" + "\n".join(f"- [{_title(path)}]({path.name})" for path in _pages(folder))


def _expanded(item: Any, docs: Path) -> Any:
    if isinstance(item, list):
        return [_expanded(each, docs) for each in item]
    if isinstance(item, dict):
        return {title: _expanded(each, docs) for title, each in item.items()}
    if not item.endswith("/"):
        return item
    return [f"{item}index.md", *({_title(path): f"{item}{path.name}"} for path in _pages(docs / item))]


def _pages(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.md") if path.name != "index.md")


def _title(path: Path) -> str:
    """Return `23. What a file names` for 0023-what-a-file-names.md."""
    heading = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    return f"{int(path.name.split('-')[0])}. {heading}"
