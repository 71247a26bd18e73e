"""A lock file lets one process at a time work in a folder, and names that process.

The kernel's lock on the file (flock) keeps others out, and ends with the process, however that ends. The record in the
file names the holder: for the message, for other machines that see the same disk, and for disks without such locks.

    the kernel refuses            somebody holds it: refused
    the kernel grants it          no record, or one of this machine: its process is gone, taken over
                                  a record of another machine: refused, as not every network disk shares its locks
    the disk has no such locks    the process of the record (machine, boot, pid, start) is gone: taken over; or refused
"""

import fcntl
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from games.errors import UserError
from games.text import cut, shown
from marl.base.occupied import refuse_others

FILE = "lock.json"
ELSEWHERE = "name another --run-dir"  # advice to whoever finds a folder in use


@dataclass(frozen=True)
class Holder:
    """Who holds a folder."""

    what: str  # "a training run"
    host: str
    boot: str  # the machine's boot id: new after a restart, the same in all its containers; empty if it has none
    pid: int
    started: str  # start of the process by the kernel's clock: tells it from a later process with the same pid
    since: str  # local time
    command: str

    def __str__(self) -> str:
        return f"{self.what} (pid {self.pid} on {self.host}, since {self.since}: {self.command})"


@contextmanager
def held(folder: Path, what: str, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    """Hold a folder, and create it if it does not exist; `what` names what runs there, such as "a training run".

    `elsewhere` is the advice to work in another folder, for the message. Raises UserError if another process, which it
    names, holds the folder, if something else is in it (occupied.py), or if it cannot be written.
    """
    refuse_others(folder, what, elsewhere)
    path = folder.absolute() / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _take(path, _this_process(what), elsewhere)
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"the folder '{folder}' cannot be written ({why}); {elsewhere}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            if _is_at(path, file):
                path.unlink()
        os.close(file)


def holder(folder: Path) -> Holder | None:
    """Return who holds a folder, by the record in its lock file alone: nothing is locked, and nothing written.

    None where the file is not there, or names a process that has certainly ended.
    """
    try:
        file = os.open(folder / FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        recorded = _recorded(file)
    finally:
        os.close(file)
    return None if recorded is None or _gone(recorded, locked=False) else recorded


def _take(path: Path, holder: Holder, elsewhere: str) -> int:
    """Take the lock and return its open file; raises UserError if another process holds it."""
    if path.is_symlink():  # not a lock of ours: it must not be followed
        path.unlink()
    while True:
        try:
            file, made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            try:
                file, made = os.open(path, os.O_RDWR | os.O_NOFOLLOW), False
            except FileNotFoundError:
                continue
        try:
            if _claim(path, file, made, elsewhere):
                os.write(file, json.dumps(asdict(holder)).encode())
                os.fsync(file)
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _claim(path: Path, file: int, made: bool, elsewhere: str) -> bool:
    """Lock the file that was opened at `path`; False where it is to be tried again with another file.

    Only a file that this process has made becomes its lock. A stale one is removed, by whoever has its kernel lock; so
    after locking, a file may be found to be no longer the one at `path`.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = True
    except BlockingIOError:
        raise _refused(path, _recorded(file), elsewhere) from None
    except OSError:
        locked = False
    if not _is_at(path, file):
        return False
    if made:
        return True
    recorded = _recorded(file)
    if not _gone(recorded, locked):
        raise _refused(path, recorded, elsewhere)
    if _is_at(path, file):  # without locks, another process can take the file over between these two lines only
        path.unlink()
    return False


def _gone(recorded: Holder | None, locked: bool) -> bool:
    """Return whether the process that wrote a record has certainly ended; `locked`: the kernel's lock is now ours."""
    if recorded is None:
        return locked  # cut short by a kill; or, without locks, being written now
    here = _this_process("")
    if here.host != recorded.host and (not here.boot or here.boot != recorded.boot):
        return False
    return locked or here.boot != recorded.boot or _started(recorded.pid) != recorded.started


def _refused(path: Path, recorded: Holder | None, elsewhere: str) -> UserError:
    if recorded is None:
        return UserError(
            f"another process is using '{path.parent}'; wait for its end or {elsewhere} (if none is, delete '{path}')"
        )
    advice = f"wait for its end, stop it, or {elsewhere}"
    if recorded.host != platform.node():
        advice += f" (if it no longer runs there, delete '{path}')"
    return UserError(f"'{path.parent}' is in use by {recorded}; {advice}")


def _recorded(file: int) -> Holder | None:
    """Return the holder that an open lock file names; None if it holds no complete record of ours."""
    try:
        recorded = Holder(**json.loads(os.pread(file, 4096, 0)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    fits = all(type(value) is (int if name == "pid" else str) for name, value in vars(recorded).items())
    return recorded if fits and str(recorded) == shown(str(recorded)) else None


def _this_process(what: str) -> Holder:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        boot = ""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    return Holder(what, platform.node(), boot, os.getpid(), _started(os.getpid()), since, cut(shown(command), 100))


def _started(pid: int) -> str:
    """Return when a process of this machine began, as its kernel counts; nothing where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *fields = stat.rpartition(")")[2].split()  # behind the process's name, which may hold anything
        return "" if state == "Z" else fields[18]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return ""
    asked = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True
    )
    return asked.stdout.strip()


def _is_at(path: Path, file: int) -> bool:
    """Return whether an open file is the one at a path, which may have been removed or made anew."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
