"""What the documentation says to type works as it stands there, in an empty folder; every link leads somewhere."""

import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.core import TyperCommand
from typer.testing import CliRunner

from marl.base import shipped
from marl.cli.app import app
from tests.test_floors import FLOORS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE = ROOT / "tests" / "plugin_package"
BLOCK = re.compile(r'```(?:\w+ title="(?P<file>[^"]+)"|console)\n(?P<body>.*?)```', re.DOTALL)


def environment(site: Path) -> dict[str, str]:
    """Return an environment in which pip installs into a folder of its own, without a network, and marl finds it."""
    found = [str(site), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    here = os.environ | {"PIP_TARGET": str(site), "PYTHONPATH": os.pathsep.join(found), "OMP_NUM_THREADS": "1"}
    here |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # pip reads its negatives so
    return here | {"COLUMNS": "200", "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def type_in(command: str, folder: Path, site: Path) -> str:
    """Run what a user types, and return what it prints."""
    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environment(site), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def blocks(page: str) -> list[tuple[str | None, str]]:
    """Return what a page says to write and to type, in its order: (file, text to append), or (None, commands)."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(block["file"], block["body"]) for block in BLOCK.finditer(text)]


def type_page(page: str, folder: Path, site: Path) -> dict[str, str]:
    """Write and type in `folder` what a page says, and return what each command printed."""
    printed = {}
    for file, body in blocks(page):
        if file:
            with (folder / file).open("a", encoding="utf-8") as opened:
                opened.write(body + "\n\n")
            continue
        for line in body.splitlines():
            assert line.startswith("$ "), f"{page}: {line}"
            printed[line[2:]] = type_in(line[2:], folder, site)
    return printed


def means(table: str) -> list[float]:
    """Return the mean returns in a table of `marl evaluate`, from the first player on."""
    return [float(mean) for mean in re.findall(r"│ \d+ +│ ([+-][\d.]+)", table)]


def games(printed: dict[str, str], folder: Path) -> None:
    checks = [text for command, text in printed.items() if command.startswith("marl games check")]
    assert len(checks) >= 7 and all(": passed" in text for text in checks)
    assert {"high_card", "nim", "pennies", "rendezvous"} <= set(printed["marl games list"].split())
    assert (folder / "nim.txt").exists() and "take two" in printed["marl games show 'my_games:Nim(stones=4)'"]
    drawn = (folder / "nim.svg").read_text("utf-8"), (folder / "high_card.svg").read_text("utf-8")
    assert drawn[0].startswith("<svg") and "your card: " in drawn[1].replace("\u00a0", " ")
    first, _ = means(printed["marl evaluate 'runs/nim(greedy=true)' --game my_games:Nim --against random"])
    assert first == 1.0  # the first to move wins Nim of seven stones
    searched = printed["marl evaluate 'uct(simulations=50)' --game my_games:HighCard --against random --seeds 30"]
    assert sum(means(searched)) > 0, searched


def agents(printed: dict[str, str], folder: Path) -> None:
    [wins] = (text for command, text in printed.items() if command.startswith("marl evaluate my_agents:Wins"))
    against_random, against_itself = means(wins)[:2], means(wins)[2:]
    assert min(against_random) > 0 and sum(against_itself) > 0, wins  # looking one move further ahead pays
    [exact] = (text for command, text in printed.items() if "--best-response" in command)
    assert "12 information states with exact policies" in exact and "+0.4167" in exact
    assert "Alternates" in printed["marl tournament run tournament.yaml"]
    [alternates] = [text for command, text in printed.items() if command.startswith("marl evaluate alternates")]
    assert len(set(means(alternates))) == 1, alternates  # both seats alike
    [guesses] = [text for command, text in printed.items() if "--game mastermind" in command]
    assert means(guesses)[0] > -5.5, guesses  # the base alone: -5.765


def algorithms(printed: dict[str, str], folder: Path) -> None:
    [greedy] = [text for command, text in printed.items() if "greedy=true" in command]
    assert means(greedy)[0] > 0.3, greedy  # untrained, an agent earns 0.2 in the first seat
    assert "reinforce: REINFORCE" in printed["marl algorithms"]
    one, other = (folder / "runs" / run / "metrics.jsonl" for run in ("reinforce", "registered"))
    assert len(one.read_text("utf-8").splitlines()) == len(other.read_text("utf-8").splitlines()) > 0


def sources(printed: dict[str, str], folder: Path) -> None:
    assert {"heaps:nim", "heaps:misere"} <= set(printed["marl games list"].split())
    checks = [text for command, text in printed.items() if command.startswith("marl games check")]
    assert len(checks) == 2 and all(": passed" in text for text in checks)
    [table] = [text for command, text in printed.items() if command.startswith("marl evaluate")]
    assert means(table)[1::2] == [1.0, 1.0], table  # of seven stones, whoever moves second need not take the last
    site, page = folder.parent / "site", (ROOT / "docs" / "how-to" / "sources.md").read_text("utf-8")
    for where, game in ((site, "heaps:num"), (folder / "nowhere", "heaps:nim")):
        command = ["marl", "games", "check", game]
        done = subprocess.run(command, cwd=folder, env=environment(where), capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert " ".join(done.stderr.split()).removeprefix("marl: ") in " ".join(page.split()), done.stderr


def first_steps(printed: dict[str, str], folder: Path) -> None:
    assert "openspiel:tic_tac_toe" in printed["marl games list"] and "ippo_tic_tac_toe" in printed["marl configs"]
    sampled, greedy = (means(text) for command, text in printed.items() if command.startswith("marl evaluate"))
    assert sum(sampled[:2]) > 0.5 and sum(greedy[:2]) > 0.5  # random players are beaten
    first, second = (text for command, text in printed.items() if command.startswith("marl tournament run"))
    assert "240 games among 4 agents" in first and "400 games among 5 agents; 240 are stored already" in second
    assert (folder / "runs" / "first" / "plot.png").exists()
    by_python = printed["python first_steps.py"]
    assert "of 100 games against random" in by_python and by_python.count("±") == 6


def ecosystem(printed: dict[str, str], folder: Path) -> None:
    assert all(": passed" in text for text in printed.values())


def commands(said: dict[str, str], folder: Path) -> None:
    assert said["marl ask bounds openspiel:tic_tac_toe"].strip() == "-1.0 to 1.0"
    assert said["marl ask players openspiel:tic_tac_toe"].strip() == "2"


TYPED = {
    "docs/how-to/commands.md": commands,
    "docs/tutorials/first-steps.md": first_steps,
    "docs/how-to/games.md": games,
    "docs/how-to/agents.md": agents,
    "docs/how-to/algorithms.md": algorithms,
    "docs/how-to/sources.md": sources,
    "docs/how-to/ecosystem.md": ecosystem,
}
NEEDS = {"docs/how-to/ecosystem.md": "overcooked_ai_py"}  # a package that the development environment does not have


@pytest.mark.parametrize("page", TYPED)
def test_a_page_works_word_for_word_in_an_empty_folder(page, tmp_path):
    if page in NEEDS and not find_spec(NEEDS[page]):
        pytest.skip(f"'{NEEDS[page]}' is not installed")
    folder = tmp_path / "my_folder"
    folder.mkdir()
    TYPED[page](type_page(page, folder, tmp_path / "site"), folder)


def test_every_page_with_commands_to_type_is_typed():
    assert {str(page.relative_to(ROOT)) for page in PAGES if "```console" in page.read_text("utf-8")} == set(TYPED)


def ecosystem_references() -> list[str]:
    """Return what the table of the ecosystem's games says to type."""
    page = (ROOT / "docs" / "how-to" / "ecosystem.md").read_text("utf-8")
    cells = [line.split("|")[3].strip() for line in page.splitlines() if line.startswith("|")]
    return [cell.strip("`") for cell in cells if cell.startswith("`")]


@pytest.mark.parametrize("reference", ecosystem_references())
def test_the_games_of_the_ecosystem_pass_where_their_package_is_installed(reference, tmp_path):
    source, *names = re.findall(r"\w+", reference)
    package = names[0] if source in ("gymnasium", "pettingzoo") else source
    if not find_spec(package):
        pytest.skip(f"'{package}' is not installed")
    checked = type_in(f'marl games check "{reference}" --episodes 1', tmp_path, tmp_path / "site")
    assert f"{reference}: passed" in checked


def test_the_python_of_the_readme_runs(tmp_path):
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "readme.py").write_text(program, encoding="utf-8")
    assert type_in("python readme.py", tmp_path, tmp_path / "site").count("±") == 4


def mentioned(page: Path) -> list[str]:
    """Return the commands of `marl` in the blocks of a page, without comments and redirections of their output.

    Words in capitals stand for numbers.
    """
    text = re.sub(r"(?<= )[A-Z]+\b", "20", page.read_text("utf-8").replace("\\\n", " "))
    return re.findall(r"""^(?:    |\$ )marl ((?:'[^']*'|"[^"]*"|[^\n'"#>])*)""", text, re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if mentioned(page)], ids=lambda page: page.name)
def test_commands_and_their_options_exist(page, monkeypatch):
    monkeypatch.setattr(TyperCommand, "invoke", lambda *_: None)  # read the command line, and do nothing
    for command in mentioned(page):
        if command.startswith("ask "):  # which docs/how-to/commands.md adds
            continue
        done = CliRunner().invoke(app, shlex.split(command))
        assert done.exit_code == 0, f"marl {command}\n{done.output}{done.exception}"


def test_the_readme_names_shipped_configs_and_every_room():
    text = (ROOT / "README.md").read_text("utf-8")
    named = re.findall(r"marl (?:train|sweep|population|tournament run) (\w+)(?= |$)", text, re.MULTILINE)
    assert len(named) >= 4 and set(named) <= {config.name for config in shipped.configs()}
    for room in {room for rooms in FLOORS for room in rooms}:
        *above, name = room.split(".")
        assert f"{name}/" in text or f"{name}.py" in text or ("algorithms" in above and name in text), room


def test_the_example_package_is_what_the_guide_writes():
    written: dict[str, list[str]] = {}
    for file, body in blocks("docs/how-to/games.md"):
        if file:
            written.setdefault(file, []).append(body)
    assert set(written) == {path.name for path in PACKAGE.iterdir() if path.is_file()}
    for name, bodies in written.items():
        assert (PACKAGE / name).read_text(encoding="utf-8") == "\n\n".join(bodies), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "changelog.md"], ids=lambda page: page.name)
def test_files_of_the_project_that_a_page_names_exist(page):
    ours = r"\b(?:games|marl|tournaments|tests|configs|docs|examples)/(?:[\w./-]+\.(?:py|yaml|md|ipynb)\b|(?:\w+/)+)"
    missing = [name for name in re.findall(ours, page.read_text("utf-8")) if not (ROOT / name).exists()]
    assert missing == []


LOADED = re.compile(
    r"""<(?:script|img|iframe)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*\bhref=["']?(?:https?:)?//"""
)


def build_site(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build a site as `make docs` does. `--quiet` would hide warnings from `--strict`, too."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "--site-dir", str(site)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=300)


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    done = build_site(ROOT / "mkdocs.yml", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in tmp_path.rglob("*.html"):
        assert not LOADED.search(page.read_text(encoding="utf-8")), page
    api = (tmp_path / "reference" / "api.html").read_text(encoding="utf-8")
    assert "Describe continuous actions of" in api
    text = html.unescape(re.sub(r"<[^>]+>", "", api))
    for module in ("games/contract.py", "marl/rollout/types.py", "marl/api.py"):
        comments = re.findall(r"^    \w+: .*  # (\[[A-Z].*)$", (ROOT / module).read_text("utf-8"), re.MULTILINE)
        assert comments and all(comment.replace("`", "") in text for comment in comments), module


def test_a_broken_link_a_missing_anchor_and_a_page_out_of_the_navigation_fail_the_site(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for package in ("games", "marl"):
        (tmp_path / package).symlink_to(ROOT / package)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    with (tmp_path / "docs" / "index.md").open("a", encoding="utf-8") as index:
        index.write("[a page](nowhere.md) and [an anchor](how-to/games.md#nowhere)")
    (tmp_path / "docs" / "lost.md").write_text("# A page out of the navigation", encoding="utf-8")
    done = build_site(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    assert all(fault in done.stderr for fault in ("nowhere.md", "#nowhere", "lost.md")), done.stderr
