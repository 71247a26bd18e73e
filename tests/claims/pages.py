"""Tables and commands stand in the pages between markers, and are written there from the table of claims.

<!-- commands: NAME -->    the commands of a claim, and when, where and in how much time its figures were measured
<!-- table: NAME -->       one table of figures
<!-- front page -->        the README's table
<!-- end -->
"""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from games.errors import UserError, nearest
from tests.claims.table import MEASURED, ROOT, Claim, Claims, blocks, figures_of

RESULTS = ROOT / "docs" / "explanation" / "results"
README = ROOT / "README.md"
_REGION = re.compile(
    r"(?P<begin><!-- (?P<kind>commands|table|front page)(?:: (?P<name>\S+))? -->\n)(?P<body>.*?)<!-- end -->", re.DOTALL
)
_REFERENCE = re.compile(r"\{([^{}|]+) \| ([^{}]+) \| ([^{}|]+)\}")
_MARKER = re.compile(r"<!-- (?:commands|table|front page|end)\b.*?-->")


def pages() -> list[Path]:
    """Return the pages that have figures."""
    return [README, *sorted(RESULTS.glob("*.md"))]


def written(page: str, claims: Claims, measured: Path = MEASURED) -> str:
    """Return a page with its regions written anew; raises UserError for a marker that names nothing."""
    tables = {table: claim for claim in claims.claims.values() for table in claim.tables}

    def region(match: re.Match[str]) -> str:
        kind, name = match["kind"], match["name"] or ""
        known = {"commands": claims.claims, "table": tables, "front page": {"": None}}[kind]
        if name not in known:
            raise UserError(f"a page has the marker '{kind}: {name}', which names no claim's{nearest(name, known)}")
        lines = {
            "commands": lambda: _commands(name, claims.claims[name]),
            "table": lambda: figures_of(tables[name], name, measured).markdown(),
            "front page": lambda: _front(claims, measured),
        }[kind]()
        return "\n".join([match["begin"], *lines, "", "<!-- end -->"])

    return _REGION.sub(region, page)


def _commands(name: str, claim: Claim) -> list[str]:
    """Return a claim's commands as they are typed, and what is known of its measurement."""
    lines = []
    for block in blocks(claim):
        looped = "{seed}" in block[0]
        if looped:
            lines.append(f"    for SEED in {' '.join(map(str, claim.seeds))}; do")
        lines += [f"    {'    ' if looped else ''}{line.replace('{seed}', '$SEED')}" for line in block]
        lines += ["    done"] if looped else []
    lines += ["", f"`make claims ONLY={name}`: {budget(claim.budget)}. {measured_on(claim)}"]
    if claim.dated:
        lines[-1] += f" To be measured again: {claim.dated}."
    return lines


def budget(minutes: float) -> str:
    """Return CPU-minutes in a unit that suits them."""
    if minutes >= 120:
        return f"{minutes / 60:.3g} CPU-hours"
    return f"{minutes:.3g} CPU-minutes" if minutes >= 2 else f"{60 * minutes:.3g} CPU-seconds"


def measured_on(claim: Claim) -> str:
    """Return when and where a claim was measured, as a sentence."""
    told = claim.measured
    article = "an" if told.processor[0] in "AEIO" else "a"
    return f"Measured on {told.when} on {article} {told.processor}, version {told.version}."


def _front(claims: Claims, measured: Path) -> list[str]:
    rows = [
        f"| {_referred(what, claims, measured)} | {_referred(text, claims, measured)} |"
        for what, text in claims.front_page.items()
    ]
    return [
        "| reached on the cores of a small machine ([all results](docs/explanation/results/index.md)) | |",
        "| :-- | :-- |",
        *rows,
    ]


def _referred(text: str, claims: Claims, measured: Path) -> str:
    """Put cells in the place of the references to them."""
    tables = {table: claim for claim in claims.claims.values() for table in claim.tables}

    def cell(match: re.Match[str]) -> str:
        if match[1] not in tables:
            raise UserError(
                f"the front page refers to the table '{match[1]}', which no claim has{nearest(match[1], tables)}"
            )
        return figures_of(tables[match[1]], match[1], measured).cell(match[2], match[3]).replace("**", "")

    return _REFERENCE.sub(cell, text)


def regions(page: str) -> Iterator[tuple[str, str, str]]:
    """Return the regions of a page: kind, name, and the anchor of the section in which each stands."""
    anchor = ""
    for match in re.finditer(rf"^#+ (?P<title>[^\n]*)$|{_REGION.pattern}", page, re.MULTILINE | re.DOTALL):
        if match["title"]:
            anchor = slug(match["title"])
        else:
            yield match["kind"], match["name"] or "", anchor


def slug(title: str) -> str:
    """Return the anchor of a heading, as the site makes it (Markdown's `toc`)."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def faults(claims: Claims, texts: dict[str, str], measured: Path = MEASURED) -> list[str]:
    """Return what is wrong between claims and pages [name: text]: figures without a claim, claims without a place."""
    found = []
    seen: dict[tuple[str, str], str] = {}
    for page, text in texts.items():
        for kind, name, anchor in regions(text):
            seen[kind, name] = f"{page}#{anchor}"
        bare = _REGION.sub("", text)
        if _MARKER.search(bare):
            found.append(f"{page}: a marker without its end, or an end without its marker")
        if page not in ("README.md", "index.md"):
            found += [f"{page}: a table with no claim, {line[:60]}" for line in _tables(bare)]
            found += [f"{page}: a section with figures and no claim, {title}" for title in _bare_sections(text)]
        if written(text, claims, measured) != text:
            found.append(f"{page}: not what the claims say; `python -m tests.claims page` writes it")
    for name, claim in claims.claims.items():
        for key in [("commands", name), *(("table", table) for table in claim.tables)]:
            where = seen.get(key)
            if where is None:
                found.append(f"the claim '{name}' has no place: no page has the marker {key[0]}: {key[1]}")
            elif where.partition("#")[0] != claim.section.partition("#")[0] or (
                key[0] == "commands" and where != claim.section
            ):
                found.append(f"the claim '{name}' says {claim.section}, and {key[0]}: {key[1]} stands in {where}")
    used = {table for claim in claims.claims.values() for table in claim.tables}
    found += [
        f"docs/measured/{path.name}: no claim has this table"
        for path in sorted(measured.glob("*.csv"))
        if path.stem not in used
    ]
    return found


def _bare_sections(text: str) -> list[str]:
    """Return the headings of sections in which figures with intervals stand, and no claim's commands."""
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return [each.partition("\n")[0] for each in sections if " ± " in each and "<!-- commands:" not in each]


def _tables(text: str) -> list[str]:
    """Return the first line of each Markdown table."""
    lines = text.splitlines()
    return [
        line
        for above, line in zip(["", *lines], lines, strict=False)
        if line.startswith("|") and not above.startswith("|")
    ]
