"""People at the board, in a real browser, with the mouse and with the keyboard."""

import pytest

from marl.api import train
from tests.web.test_replay import write

pytestmark = pytest.mark.browser
FOUR = "Connect four"
NARROW = 390  # pixels


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run that a moment of training made."""
    folder = tmp_path_factory.mktemp("page") / "runs"
    settings = {"num_envs": 4, "algorithm.hidden": [8], "evaluation.panel": [], "stretch": 64}
    train("ippo_connect_four", run_dir=folder / "four", steps=64, quiet=True, **settings)
    return folder


def begin(tab, page, game, agent, width=1400):
    """Fill the form of a new game, and come to its board."""
    found = tab(page, "/play", width)
    found.get_by_role("link", name=game).first.click()
    found.locator("#name").fill("Ann")
    found.select_option("select", found.locator("option", has_text=agent).first.get_attribute("value"))
    found.get_by_role("button", name="Play").click()
    found.wait_for_selector('#desk[data-turn="you"]')
    return found


def finish(board):
    """Play the first place that can be clicked, until the game is over."""
    while True:
        board.wait_for_selector('#desk[data-turn="you"]:not(.busy), #desk[data-turn="over"]:not(.busy)')
        if board.locator('#desk[data-turn="over"]').count():
            return board.locator("#verdict").inner_text()
        ply = board.locator("#desk").get_attribute("data-ply")
        board.locator("#board .place").first.click()
        board.wait_for_selector(f'#desk:not([data-ply="{ply}"])')


@pytest.mark.parametrize("agent", ["mcts, 100 simulations", "four, ippo after"])
def test_a_whole_game_by_mouse(trained, serve, tab, agent):
    board = begin(tab, serve(trained), FOUR, agent)
    assert finish(board).startswith(("You won", "You lost", "A draw"))
    board.locator("#replay").click()
    board.wait_for_selector("#board svg")
    assert "Ann" in board.locator("h1").inner_text()


def test_a_name_that_was_typed_before_the_script_came_stays(trained, serve, tab):
    form = tab(serve(trained), "/play").get_by_role("link", name=FOUR).first
    form.page.route("**/new.js*", lambda route: (form.page.fill("#name", "Ann"), route.continue_()))
    form.click()
    form.page.wait_for_load_state("load")
    assert form.page.input_value("#name") == "Ann"


def test_the_others_card_is_nowhere_in_the_page_or_its_traffic(tmp_path, serve, tab):
    """Every answer of a hand that ends by a fold is searched for the other's card, as drawn and as told."""
    (tmp_path / "runs").mkdir()
    page = serve(tmp_path / "runs")
    board = begin(tab, page, "Leduc poker", "uct, 50 simulations", NARROW)
    heard = []
    board.on("response", lambda answer: heard.append(answer))
    session = page.app.state.desk.sessions.find(board.url.rpartition("/")[2])
    table = page.app.state.desk.tables.at(session.line)
    own, other = (table.state.native.information_state_string(player) for player in (0, 1))
    faces = {text.split("Private: ")[1].split("]")[0] for text in (own, other)}
    assert len(faces) == 2
    board.locator("#hint").click()
    board.wait_for_selector("#why table")
    board.get_by_role("button", name="Call", exact=True).click()
    board.wait_for_selector('#desk[data-turn="you"]:not([data-ply="0"]), #desk[data-turn="over"]')
    whole = table.drawing(None).svg
    backs = [answer.json()["svg"] for answer in heard if "/api/play/" in answer.url]
    assert backs and all(svg.count("fill-back") == 1 for svg in backs) and "fill-back" not in whole
    assert other not in board.content() and not any(other in answer.text() for answer in heard)


def test_a_stored_game_step_by_step(tmp_path, serve, tab):
    id, game = write(tmp_path / "runs" / "cup")
    board = tab(serve(tmp_path / "runs"), f"/games/cup/{id}")
    board.wait_for_selector('#moves:not(:has([aria-current="step"]))')
    for ply in range(1, 4):
        board.keyboard.press("ArrowRight")
        board.wait_for_selector(f'#moves button[data-ply="{ply}"][aria-current="step"]')
    board.keyboard.press("e")
    board.wait_for_selector("#why tr.chosen")
    assert "plays" in board.locator("#why h2").first.inner_text()
    assert "recorded otherwise" not in board.locator("#why").inner_text()
    before = board.locator("#board svg").inner_html()
    board.keyboard.press("End")
    board.wait_for_selector(f'#moves button[data-ply="{game.length}"][aria-current="step"]')
    assert "the game is over" in board.locator("#status").inner_text()
    assert board.locator("#board svg").inner_html() != before
    board.locator('#moves button[data-ply="2"]').click()
    board.wait_for_selector('#moves button[data-ply="2"][aria-current="step"]')
    board.keyboard.press("Home")
    board.wait_for_selector("#first:disabled")


def test_help_in_the_middle_of_a_game(trained, serve, tab):
    board = begin(tab, serve(trained), FOUR, "mcts, 100 simulations")
    board.keyboard.press("h")
    board.wait_for_selector("#why tr.chosen")
    board.locator("#board .place").nth(3).click()
    board.wait_for_selector('#desk[data-turn="you"][data-ply="2"]')
    board.locator("#back").click()
    board.wait_for_selector('#desk[data-turn="you"][data-ply="0"]')
    assert "will not be rated" in board.locator("#helped").inner_text()
    board.locator("#swap").click()
    board.wait_for_selector('#desk[data-turn="you"][data-ply="1"]')
    assert board.locator("#seats li").nth(1).inner_text().startswith("Ann")


@pytest.mark.parametrize("game", [FOUR, "Chess", "Hearts", "Leduc poker"])
def test_narrow_screens(tmp_path, serve, tab, game):
    """Nothing is wider than the screen, and the keyboard makes a move."""
    (tmp_path / "runs").mkdir()
    board = begin(tab, serve(tmp_path / "runs"), game, "random", NARROW)
    wide = board.locator("html").bounding_box()["width"]
    assert wide <= NARROW
    for each in ("#board", "#seats", ".tools", "#legal"):
        box = board.locator(each).bounding_box()
        assert box is None or box["x"] + box["width"] <= NARROW, each
    ply = board.locator("#desk").get_attribute("data-ply")
    place = board.locator("#board .place, #legal > button").first
    place.focus()
    board.keyboard.press("Enter")
    if game == "Chess":  # a piece is picked, and then a place for it
        board.locator("#board .place.target").first.focus()
        board.keyboard.press("Enter")
    board.wait_for_selector(f'#desk:not([data-ply="{ply}"])')
