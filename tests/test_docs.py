"""What the documentation says to type works as it stands there, in an empty folder; every link leads somewhere."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDE = (ROOT / "docs" / "how-to" / "games.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "tests" / "plugin_package"
BLOCK = re.compile(r'```(?:\w+ title="(?P<file>[^"]+)"|console)\n(?P<body>.*?)```', re.DOTALL)


def environment(site: Path) -> dict[str, str]:
    """Return an environment in which pip installs into a folder of its own, without a network, and marl finds it."""
    here = os.environ | {"PIP_TARGET": str(site), "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    here |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # pip reads its negatives so
    return here | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def type_in(command: str, folder: Path, site: Path) -> str:
    """Run what a user types, and return what it prints."""
    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environment(site), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_guide_to_games_works_word_for_word(tmp_path):
    folder, said = tmp_path / "my_folder", {}
    folder.mkdir()
    for block in BLOCK.finditer(GUIDE):
        if block["file"]:
            with (folder / block["file"]).open("a", encoding="utf-8") as file:
                file.write(block["body"] + "\n\n")
            continue
        for line in block["body"].splitlines():
            command = line.removeprefix("$ ")
            assert command != line, line
            said[command] = type_in(command, folder, tmp_path / "site")
    checks = [text for command, text in said.items() if command.startswith("marl games check")]
    assert len(checks) >= 7 and all(": passed" in text for text in checks)
    assert {"high_card", "nim", "pennies", "rendezvous"} <= set(said["marl games list"].split())
    assert (folder / "nim.txt").exists() and "take two" in said["marl games show 'my_games:Nim(stones=4)'"]
    table = said["marl evaluate 'runs/nim(greedy=true)' --game my_games:Nim --against random"]
    [first] = re.findall(r"│ 0 +│ ([+-][\d.]+)", table)
    assert float(first) == 1.0, table  # the first to move wins Nim of seven stones
    searched = said["marl evaluate 'uct(simulations=50)' --game my_games:HighCard --against random --seeds 30"]
    assert sum(map(float, re.findall(r"│ [012] +│ ([+-][\d.]+)", searched))) > 0, searched


def test_the_example_package_is_what_the_guide_writes():
    written: dict[str, list[str]] = {}
    for block in BLOCK.finditer(GUIDE):
        if block["file"]:
            written.setdefault(block["file"], []).append(block["body"])
    assert set(written) == {path.name for path in PACKAGE.iterdir() if path.is_file()}
    for name, bodies in written.items():
        assert (PACKAGE / name).read_text(encoding="utf-8") == "\n\n".join(bodies), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


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
    assert "Describe continuous actions of" in api and "action_mask" in api


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
