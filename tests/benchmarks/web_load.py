"""Many people play against one agent at once: how long each waits for the agent's move.

    python -m tests.benchmarks.web_load --people 50 --every 5 --seconds 60 --agent 'uct(simulations=200)'

A server is started on an empty folder. Each person opens a game, and moves at random every few seconds; measured is the
time from the click to the position after the agent's move, by the clock of the person. Also printed: the worst of all,
answers 503, the processor time of the server and of the worker, and how busy the machine was besides.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from statistics import median, quantiles
from urllib.parse import urlencode

from tournaments.web.offers import SIMULATIONS

GAME = "openspiel:connect_four"


class Person:
    """One person: its own game, its own pace."""

    def __init__(self, port: int, number: int, agent: str) -> None:
        self._port, self._agent, self._random = port, agent, random.Random(number)
        self.waits: list[float] = []
        self.refused = self.games = 0

    async def play(self, every: float, until: float) -> None:
        await asyncio.sleep(self._random.uniform(0, every))
        game = None
        while time.monotonic() < until:
            if game is None or game["over"]:
                place = await self._open()
                game = await self._ask("GET", f"/api{place}")
                self.games += 1
            began = time.monotonic()
            move = self._random.choice(game["legal"])["action"]
            game = await self._ask("POST", f"/api{place}/move", {"ply": game["ply"], "action": move})
            while not game["over"] and not game["legal"]:
                game = await self._ask("POST", f"/api{place}/go", {}) or game
            self.waits.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, every - (time.monotonic() - began)))

    async def _open(self) -> str:
        form = urlencode({"game": GAME, "seat": 0, "agent": self._agent, "name": "load"})
        status, headers, _ = await self._send("POST", "/play/new", form, "application/x-www-form-urlencoded")
        assert status == 303, status
        return headers["location"]

    async def _ask(self, method: str, path: str, data: dict[str, int] | None = None) -> dict:
        while True:
            status, _, body = await self._send(method, path, "" if data is None else json.dumps(data))
            if status == 200:
                return json.loads(body)
            assert status == 503, (status, body)
            self.refused += 1
            await asyncio.sleep(1.0)

    async def _send(self, method: str, path: str, body: str, kind: str = "application/json"):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}", "Connection: close"]
        if method == "POST":
            head += [f"Origin: http://127.0.0.1:{self._port}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        writer.write(("\r\n".join(head) + "\r\n\r\n" + body).encode())
        answer = await reader.read()
        writer.close()
        lines, _, rest = answer.partition(b"\r\n\r\n")
        first, *others = lines.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in others)}
        return int(first.split()[1]), headers, rest


def served(folder: str) -> tuple["subprocess.Popen[str]", int]:
    """Start the page of a folder; return its process and its port."""
    command = [sys.executable, "-m", "marl", "web", folder, "--port", "0", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline()
    return process, int(address.split("127.0.0.1:")[1].split("/")[0])


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process and of those that it started, which are running."""
    found = 0.0
    for each in [pid, *map(int, _children(pid))]:
        with open(f"/proc/{each}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        found += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def _children(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        direct = file.read().split()
    threads = (child for task in os.listdir(f"/proc/{pid}/task") for child in _of_thread(pid, task))
    return sorted({*direct, *threads})


def _of_thread(pid: int, task: str) -> list[str]:
    with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
        return file.read().split()


async def run(people: int, every: float, seconds: float, agent: str, port: int) -> list[Person]:
    everybody = [Person(port, number, agent) for number in range(people)]
    until = time.monotonic() + seconds
    await asyncio.gather(*(person.play(every, until) for person in everybody))
    return everybody


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between a person's moves")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--agent", default=f"uct(simulations={SIMULATIONS['uct'][1]})")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, port = served(folder)
        try:
            before, busy = os.getloadavg()[0], processor_seconds(process.pid)
            began = time.monotonic()
            found = asyncio.run(run(options.people, options.every, options.seconds, options.agent, port))
            took, spent = time.monotonic() - began, processor_seconds(process.pid) - busy
        finally:
            process.terminate()
            process.wait()
    waits = sorted(wait for person in found for wait in person.waits)
    print(f"{options.people} people, a move each in {options.every:g} s, against {options.agent}, for {took:.0f} s")
    print(f"moves {len(waits)}, games {sum(person.games for person in found)}, 503 {sum(p.refused for p in found)}")
    print(f"wait: median {median(waits):.2f} s, 95 % {quantiles(waits, n=20)[-1]:.2f} s, worst {waits[-1]:.2f} s")
    print(f"processor: {spent / took:.2f} of {os.cpu_count()} cores; load of the machine {before:.1f} before")


if __name__ == "__main__":
    main()
