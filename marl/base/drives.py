"""Network drives, which lack the shared memory and the locks that databases and run folders need.

A write-ahead log needs memory that all of a database's users share, and locks may be answered wrongly or not at all:
https://www.sqlite.org/wal.html. The Windows drives of WSL2 (/mnt/c) are served over a network protocol, too.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_FUSE = ("fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs")
_SHARED = ("9p", "drvfs", "vboxsf", "virtiofs")  # of virtual machines, WSL2 among them
NETWORK = frozenset(
    {"afpfs", "afs", "ceph", "cifs", "davfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "webdav"}
    | {*_FUSE, *_SHARED}
)


def network_drive(path: Path) -> str:
    """Return the file system of the network drive that `path` lies on; "" for a local drive, or an unknown one."""
    place = path.resolve()
    under = [
        (len(mount.parts), order, kind) for order, (mount, kind) in enumerate(_mounts()) if place.is_relative_to(mount)
    ]
    *_, kind = max(under, default=("",))  # the last drive that is mounted on a folder hides the others
    return kind if kind in NETWORK else ""


def notes_on(folder: Path) -> list[str]:
    """Return a warning if a folder lies on a network drive: one sentence, or none."""
    kind = network_drive(folder)
    advice = (
        f"'{folder}' lies on a network drive ({kind}): writing is slow there, and locks may not hold; use a local one"
    )
    return [advice] if kind else []


def _mounts() -> Iterator[tuple[Path, str]]:
    """Yield where drives are mounted, and their file systems, in the order in which they were mounted."""
    try:
        if sys.platform == "darwin":
            yield from of_macos(subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=True).stdout)
        else:
            yield from of_linux(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, subprocess.SubprocessError):
        return


def of_linux(mountinfo: str) -> Iterator[tuple[Path, str]]:
    """Read /proc/self/mountinfo (proc(5)): the fifth word is the mount point, the first after " - " the file system."""
    for line in mountinfo.splitlines():
        mount, _, drive = line.partition(" - ")
        octal = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount.split()[4])
        yield Path(octal), drive.split()[0]


def of_macos(mounts: str) -> Iterator[tuple[Path, str]]:
    """Read what `mount` prints: `//host/share on /Volumes/share (smbfs, nodev)`."""
    for match in re.finditer(r"^.* on (/.*) \((\w+)[,)]", mounts, re.MULTILINE):
        yield Path(match[1]), match[2]
