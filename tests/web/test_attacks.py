"""Attacks on the page, and what it answers (docs/explanation/security.md has them as a table)."""

import json
import os
import re
import socket
import sys
import time
from html.parser import HTMLParser

import pytest

from tests.marl.training.logs import write_run
from tests.web.stores import write_store
from tournaments.web import security, server
from tournaments.web.security import POLICY, Access

EVIL = "<script>alert(1)</script>"
QUOTED = "\"'><img src=x onerror=alert(1)>"
TOKEN = "0123456789abcdef-of-a-test"


class Elements(HTMLParser):
    """What a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.attributes += [name for name, _ in attributes]


def is_clean(text):
    """Whether a page has no inline script or style, no event attributes, and nothing from elsewhere."""
    found = Elements(text)
    scripts = [attributes for tag, attributes in found.tags if tag == "script"]
    links = [value for _, attributes in found.tags for name, value in attributes.items() if name in ("src", "href")]
    return (
        all(script["src"].startswith("/") for script in scripts)
        and not any(tag in ("style", "iframe", "object", "embed", "base", "img") for tag, _ in found.tags)
        and not any(name.startswith("on") or name == "style" for name in found.attributes)
        and all(re.match(r"/(?!/)|\?|#", link) for link in links)
    )


@pytest.fixture
def page(tmp_path, serve):
    write_run(tmp_path / "runs" / "one", metrics=[{"step": 100, "entropy": 0.5}])
    write_store(tmp_path / "runs" / "board")
    return serve(tmp_path / "runs")


class TestRebinding:
    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "evil@127.0.0.1", "", "192.168.0.1", "["]
    )
    def test_another_name_is_not_served(self, page, host):
        answer = page.ask("/", Host=host)
        assert answer.status in (400, 421) and b"one" not in answer.body

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "LOCALHOST", "[::1]:80"])
    def test_names_of_this_machine_are(self, page, host):
        assert page.ask("/", Host=host).status == 200

    def test_two_hosts(self, page):
        with socket.create_connection(("127.0.0.1", page.port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
            assert raw.recv(100).startswith((b"HTTP/1.1 421", b"HTTP/1.1 400"))

    def test_beyond_this_machine_addresses_and_its_own_name_are_served(self):
        access = Access.of("0.0.0.0", TOKEN)
        assert access.knows("192.168.0.7:8765") and access.knows(socket.gethostname())
        assert not access.knows("evil.example") and not access.knows("")


class TestCrossSite:
    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://", "", "http://["])
    def test_a_post_of_another_site(self, page, origin):
        assert page.ask("/compare", "POST", b"run=one", Origin=origin).status == 403

    def test_a_post_without_an_origin(self, page):
        assert page.ask("/compare", "POST", b"run=one").status == 403

    def test_our_own_post_reaches_the_routes(self, page):
        assert page.ask("/compare", "POST", b"run=one", Origin=page.url).status == 405  # which has none of these

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_data_are_not_read_by_another_site(self, page, site):
        assert page.ask("/api/runs/one", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
        assert page.ask("/api/runs/one", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors").status == 200

    def test_a_link_from_another_site_opens_a_page(self, page):
        visit = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
        assert page.ask("/", **visit).status == 200
        assert page.ask("/", **visit | {"Sec_Fetch_Dest": "iframe"}).status == 403

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
    def test_other_methods(self, page, method):
        assert page.ask("/", method).status in (400, 405)


@pytest.mark.parametrize("path", ["/", "/runs/one", "/tournaments", "/static/site.css", "/api/runs/one", "/nothing"])
def test_every_answer_has_the_headers(page, path):
    headers = page.ask(path).headers
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin" and "Server" not in headers
    assert "unsafe" not in POLICY and "*" not in POLICY


class TestPaths:
    @pytest.fixture
    def page(self, tmp_path, serve):
        write_run(tmp_path / "secret", metrics=[{"step": 1, "hidden": 1.0}])
        write_store(tmp_path / "secret_board")
        write_run(tmp_path / "runs" / "one", metrics=[{"step": 1, "entropy": 1.0}])
        os.symlink(tmp_path / "secret", tmp_path / "runs" / "linked")
        os.symlink(tmp_path / "secret_board", tmp_path / "runs" / "linked_board")
        linked = write_run(tmp_path / "runs" / "file")
        (linked / "metrics.jsonl").unlink()
        os.symlink(tmp_path / "secret" / "metrics.jsonl", linked / "metrics.jsonl")
        return serve(tmp_path / "runs")

    @pytest.mark.parametrize(
        "name",
        [
            *("../secret", "..%2fsecret", "%2e%2e/secret", "one/../../secret", "one/..", ".", "", "./one", "one/"),
            *("//etc", "/etc/passwd", "linked", "one%00", "..\\secret", "file", "%ff%fe", "one/config.yaml"),
            "a" * 300,
        ],
    )
    @pytest.mark.parametrize("before", ["/runs/", "/api/runs/", "/api/curves?run=", "/compare?run="])
    def test_nothing_outside_the_folder(self, page, before, name):
        answer = page.ask(f"{before}{name}")
        assert answer.status in (303, 404, 422) and b"hidden" not in answer.body

    @pytest.mark.parametrize("name", ["../secret_board", "linked_board", "..%2fsecret_board"])
    def test_nor_a_store(self, page, name):
        assert page.ask(f"/tournaments/{name}").status == 404
        assert page.ask(f"/reports/{name}/report.html").status == 404

    @pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "site.css/.."])
    def test_nor_beside_the_scripts(self, page, name):
        answer = page.ask(f"/static/{name}")
        assert answer.status in (303, 404) and b"Starlette" not in answer.body

    def test_nor_the_rounds_of_a_population(self, page, tmp_path):
        (tmp_path / "runs" / "population" / "rounds").mkdir(parents=True)
        os.symlink(tmp_path / "secret", tmp_path / "runs" / "population" / "rounds" / "0")
        for path in ("/populations/population", "/api/populations/population"):
            answer = page.ask(path)
            assert answer.status == 422 and "symbolic link" in answer.text

    def test_the_list_has_no_links(self, page):
        text = page.ask("/").text
        assert "linked" not in text and "secret" not in text and ">one<" in text


class TestNames:
    """Script in every kind of name: it is text wherever it is shown."""

    @pytest.fixture
    def page(self, tmp_path, serve):
        for place, name in enumerate((EVIL.replace("/", "∕"), QUOTED, "a&b=c#d?e f%20g", "\u202egnp", "ü‌x")):
            metrics = [
                {"step": s, f"m{EVIL}": 1.0, f"family{QUOTED}.a": 2.0, "rollout/return_mean": 0.5} for s in (1, 2)
            ]
            folder = write_run(tmp_path / "runs" / name, seed=place, metrics=metrics)
            lines = [{"step": 1, "against": f"{EVIL}{QUOTED}", "return_mean": [0.5, 0.5], "length_mean": 3.0}]
            (folder / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            config = (folder / "config.yaml").read_text()
            (folder / "config.yaml").write_text(config.replace("openspiel:tic_tac_toe", json.dumps(f"g{EVIL}{QUOTED}")))
        write_store(tmp_path / "runs" / f"board{QUOTED}", agents=(EVIL, QUOTED, "\x1b[31m\u202e"), game=f"g{EVIL}")
        return serve(tmp_path / "runs")

    def test_wherever_a_link_leads(self, page):
        seen, ahead = set(), ["/", "/tournaments"]
        while ahead:
            path = ahead.pop()
            answer = page.ask(path)
            seen.add(path)
            if not answer.headers["Content-Type"].startswith("text/html"):
                continue
            assert answer.status == 200 or path.startswith("/games/"), (path, answer.text)
            assert is_clean(answer.text), path
            assert "\u202e" not in answer.text and "\x1b" not in answer.text
            for tag, attributes in Elements(answer.text).tags:
                link = attributes.get("href", "") if tag == "a" else ""
                link = path.partition("?")[0] + link if link.startswith("?") else link
                if link.startswith("/") and link not in seen and link not in ahead:
                    ahead.append(link)
        kinds = {path.split("/")[1].partition("?")[0] for path in seen}
        assert {"runs", "tournaments"} <= kinds and len(seen) > 12

    def test_data_are_json_that_no_browser_takes_for_a_page(self, page):
        answer = page.ask("/api/runs/a%26b%3Dc%23d%3Fe%20f%2520g")
        assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
        assert any(EVIL in metric["name"] for metric in answer.json["metrics"])

    def test_a_sentence_about_what_is_not_there(self, page):
        answer = page.ask("/runs/%3Cscript%3Ealert(1)%3C/script%3E")
        assert answer.status == 404 and is_clean(answer.text)


def test_a_report_of_a_stranger_has_an_origin_of_its_own(page, tmp_path):
    (tmp_path / "runs" / "board" / "report.html").write_text(f"<!doctype html>{EVIL}")
    answer = page.ask("/reports/board/report.html")
    assert answer.status == 200 and answer.headers.get_all("Content-Security-Policy") == [server_policy()]
    assert "sandbox" in server_policy() and "allow-same-origin" not in server_policy()
    assert page.ask("/reports/board/games.sqlite").status == 404


def server_policy():
    from tournaments.web.boards import REPORT_POLICY

    return REPORT_POLICY


class TestToken:
    @pytest.fixture
    def page(self, tmp_path, serve):
        write_run(tmp_path / "runs" / "one")
        return serve(tmp_path / "runs", TOKEN)

    def test_without_it_nothing_is_shown(self, page):
        for path in ("/", "/runs/one", "/api/runs/one", "/events", "/static/site.css", "/?token=", "/?token=wrong"):
            answer = page.ask(path)
            assert answer.status == 401 and TOKEN not in answer.text, path

    def test_the_address_with_it_sets_a_cookie_that_scripts_do_not_see(self, page):
        answer = page.ask(f"/runs/one?token={TOKEN}&a=b")
        assert answer.status == 303 and answer.headers["Location"] == "/runs/one?a=b"
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie
        assert page.ask("/runs/one", Cookie=cookie.partition(";")[0]).status == 200

    @pytest.mark.parametrize(
        "cookie", ["{name}=wrong", "{name}=", "{name}", "x={token}", "\x00", '{name}="', "a=b; ;;=;"]
    )
    def test_another_cookie_does_not(self, page, cookie):
        name = Access.of("127.0.0.1", TOKEN).cookie
        assert page.ask("/", Cookie=cookie.format(name=name, token=TOKEN)).status in (400, 401)

    def test_it_leads_to_no_other_site(self, page):
        answer = page.ask(f"//evil.example/?token={TOKEN}")
        assert not (answer.headers["Location"] or "/").startswith("//")

    def test_addresses_beyond_this_machine_have_one(self):
        assert Access.of("127.0.0.1").token is None and Access.of("localhost").token is None
        drawn = {Access.of(host).token for host in ("0.0.0.0", "::", "192.168.0.7", "somewhere")}
        assert len(drawn) == 4 and all(len(token) >= 32 for token in drawn)


class TestLimits:
    def test_a_long_address_and_long_heads(self, page):
        assert page.ask("/runs/" + "a" * 9000).status == 414
        assert page.ask("/", X_Long="a" * 20_000).status in (400, 431)

    @pytest.mark.parametrize("length", ["1000000000", "-1", "x", "9" * 5000])
    def test_a_body_that_says_it_is_long(self, page, length):
        answer = page.ask("/compare", "POST", b"", Origin=page.url, Content_Length=length)
        assert answer.status in (400, 413)

    def test_a_body_that_does_not_say_how_long_it_is(self, page):
        with socket.create_connection(("127.0.0.1", page.port)) as raw:
            head = "POST /compare HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
            raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            try:
                for _ in range(4):
                    raw.sendall(b"8000\r\n" + b"a" * 0x8000 + b"\r\n")
            except ConnectionError:
                pass
            assert raw.recv(100).startswith(b"HTTP/1.1 413")

    def test_a_head_that_does_not_come(self, page, monkeypatch):
        monkeypatch.setattr(server, "LONGEST_HEADERS", 0.2)
        sockets = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(20)]
        for raw in sockets:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: lo")
            raw.settimeout(10)
        found = [raw.recv(1) for raw in sockets]
        for raw in sockets:
            raw.close()
        assert found == [b""] * 20  # closed by the server
        assert page.ask("/").status == 200

    def test_a_body_that_does_not_come(self, page, monkeypatch):
        monkeypatch.setattr(security, "LONGEST_WAIT", 0.2)
        answer = page.ask("/compare", "POST", None, Origin=page.url, Content_Length="10")
        assert answer.status == 408

    def test_a_browser_that_does_not_read(self, page, monkeypatch):
        monkeypatch.setattr(security, "SLOWEST_READER", 0.2)
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            raw.connect(("127.0.0.1", page.port))
            raw.sendall(b"GET /static/chart.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
            raw.settimeout(10)
            time.sleep(0.5)
            read = 0
            try:
                while part := raw.recv(65536):
                    read += len(part)
            except ConnectionError:
                pass
        assert read < 1000 * len(page.ask("/static/chart.js").body) and page.ask("/").status == 200

    @pytest.mark.parametrize("many", [500, pytest.param(10_000, marks=pytest.mark.slow)])
    def test_thousands_of_requests(self, page, many):
        """A hundred on each connection, as fast as they are taken: each is answered, and the page still is."""
        request = b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answered = 0
        for _ in range(many // 100):
            with socket.create_connection(("127.0.0.1", page.port)) as raw:
                raw.settimeout(20)
                raw.sendall(request * 99 + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                text = b""
                while part := raw.recv(1 << 16):
                    text += part
                answered += text.count(b"HTTP/1.1 200")
        assert answered == many
        assert page.ask("/").status == 200

    def test_streams_of_one_client_are_few(self, page):
        open_streams = []
        for _ in range(8):
            raw = socket.create_connection(("127.0.0.1", page.port))
            raw.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            raw.settimeout(10)
            assert raw.recv(100).startswith(b"HTTP/1.1 200")
            open_streams.append(raw)
        assert page.ask("/events").status == 503
        for raw in open_streams:  # browsers that leave in the middle
            raw.close()
        end = time.monotonic() + 10
        while page.app.state.events._listeners and time.monotonic() < end:
            time.sleep(0.05)
        assert not page.app.state.events._listeners


def test_a_reference_in_an_address_runs_nothing(page, tmp_path, monkeypatch):
    """No address, query or form of a page names code: a plug-in is neither imported nor looked for."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for reference in ("evil:Agent", "evil:Agent(x=1)", "evil", "../evil", "subprocess:getoutput(cmd='touch canary')"):
        for query in ("/compare?run={}", "/api/curves?run=one&metric={}", "/api/curves?run=one&against={}"):
            assert page.ask(query.format(reference.replace(" ", "%20").replace("'", "%27"))).status < 500
        for name in ("/runs/{}", "/tournaments/board?agent={}", "/sweeps/{}", "/populations/{}", "/reports/board/{}"):
            assert page.ask(name.format(reference.replace(" ", "%20").replace("'", "%27"))).status in (404, 422)
    assert not (tmp_path / "canary").exists()


def test_what_hostile_files_name_is_not_imported(tmp_path, serve, monkeypatch):
    """Runs, populations and stores whose games, agents and algorithms are code: their pages say what they say."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    runs = tmp_path / "runs"
    for place, line in enumerate(
        ("game: evil:Game", "algorithm: evil:Learner", "wrappers: ['evil:Wrapper']", "[" * 5000)
    ):
        run = write_run(runs / f"run{place}", metrics=[{"step": 1, "entropy": 1.0}])
        (run / "config.yaml").write_text(
            f"game: openspiel:tic_tac_toe\nalgorithm: ippo\n{line}\n".replace(
                "game: openspiel:tic_tac_toe\nalgorithm: ippo\ngame", "algorithm: ippo\ngame"
            )
        )
    for method in ("psro", "league", "pbt", "evil:Method", "[1]"):
        folder = runs / f"population-{len(list(runs.iterdir()))}"
        (folder / "rounds").mkdir(parents=True)
        (folder / "config.yaml").write_text(
            f"method: {method}\ngame: evil:Game\nlearner: {{algorithm: evil:Learner}}\n"
        )
        (folder / "population.json").write_text('{"format": 2, "members": [{"id": "a", "reference": "evil:Agent"}]}')
    write_store(runs / "board", agents=("evil:Agent", "evil:Agent(x=1)"), game="evil:Game")
    page = serve(runs)
    assert page.ask("/").status == 200 and page.ask("/tournaments/board").status == 200
    for place in page.app.state.places.all():
        for kind in place.kinds:
            assert page.ask(f"/{kind}s/{place.name}").status in (200, 422), place
            assert page.ask(f"/api/{kind}s/{place.name}").status in (200, 404, 422), place
    assert not (tmp_path / "canary").exists() and "evil" not in sys.modules
