"""What engines run in tests: tasks in a module that a worker process imports at once, without torch."""

import os
import signal
import time
from pathlib import Path

from games.errors import UserError
from marl.base import engine
from marl.base.files import write_text


def square(number):
    return number * number


def process(_):
    return os.getpid()


def dies(folder, number, times):
    """Kill this process the first `times` times that it is asked for a number, and leave a mark of each."""
    tries = folder / f"{number}"
    with tries.open("a") as file:
        file.write("x")
    if len(tries.read_text()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def notes(number):
    engine.note(f"of {number}")
    if number == 1:
        raise ZeroDivisionError("one")
    return number


class Untold(Exception):
    """An error that cannot be put together again from its arguments."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def untold(number):
    raise Untold(number, number)


def a_function(_):
    return lambda: 0


def sleeps(folder, number):
    (folder / f"{number}.pid").write_text(str(os.getpid()))
    time.sleep(600)


def says(text):
    print(text)


def refuses(number):
    if number == 1:
        raise UserError(f"expected another number, got {number}")
    return number


def serves(_):
    return engine.in_worker()


def halves(number):
    if number % 2:
        raise UserError(f"expected an even number, got {number}")
    return number // 2


def writes(folder, number):
    write_text(Path(folder) / f"{number}.txt", str(number))
    return f"{number}.txt"
