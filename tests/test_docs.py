"""What the documentation says to type works as it stands there; every link leads somewhere."""

import re
from pathlib import Path

import pytest

from games.check import check_game
from marl.config import TrainConfig, load
from marl.train import train

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "games.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_games_of_the_guide_pass_their_check_and_train(tmp_path, monkeypatch):
    (tmp_path / "my_games.py").write_text("\n".join(blocks("python")))
    monkeypatch.syspath_prepend(tmp_path)
    for reference in ("my_games:Nim(stones=9)", "my_games:small_spread", "my_games:Pennies"):
        report = check_game(reference, episodes=6)
        assert report.passed, str(report)
    [config] = blocks("yaml")
    (tmp_path / "my_config.yaml").write_text(config)
    sets = ["steps=512", "stretch=256", "evaluation.seeds=4", "algorithm.hidden=[8]"]
    train(load(TrainConfig, tmp_path / "my_config.yaml", sets), tmp_path / "run", resume=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target
