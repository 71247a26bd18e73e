from pathlib import Path

import pytest

from marl.base import drives

MOUNTINFO = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:44 / /home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2
31 30 8:1 / /home/local\\040disk rw,relatime - xfs /dev/sdb1 rw
32 22 0:50 / /mnt/c rw,noatime - 9p C:\\134 rw,dirsync
33 22 0:51 / /net/data rw,relatime - autofs systemd-1 rw
34 33 0:52 / /net/data rw,relatime - nfs4 server:/data rw
"""
MOUNTS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//ann@server/share on /Volumes/the share (smbfs, nodev, nosuid, mounted by ann)
"""


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/tmp/run", ""),
        ("/home/ann/run", "nfs4"),
        ("/home", "nfs4"),
        ("/homes/run", ""),
        ("/home/local disk/run", ""),  # a local drive within a network drive
        ("/mnt/c/run", "9p"),  # a Windows drive under WSL2
        ("/mnt/run", ""),
        ("/net/data/run", "nfs4"),  # mounted over what mounts it when it is first used
    ],
)
def test_linux(monkeypatch, path, kind):
    monkeypatch.setattr(drives, "_mounts", lambda: drives.of_linux(MOUNTINFO))
    assert drives.network_drive(Path(path)) == kind


@pytest.mark.parametrize(
    "path, kind", [("/Users/ann/run", ""), ("/Volumes/the share/run", "smbfs"), ("/Volumes/x", "")]
)
def test_macos(monkeypatch, path, kind):
    monkeypatch.setattr(drives, "_mounts", lambda: drives.of_macos(MOUNTS))
    assert drives.network_drive(Path(path)) == kind


def test_a_link_leads_to_the_drive(monkeypatch, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far")
    monkeypatch.setattr(drives, "_mounts", lambda: iter([(Path("/"), "ext4"), (tmp_path.resolve() / "far", "nfs4")]))
    assert drives.network_drive(tmp_path / "link" / "run") == "nfs4"


def test_where_nobody_knows_the_drive_counts_as_local(monkeypatch):
    monkeypatch.setattr(drives, "_mounts", lambda: iter(()))
    assert drives.network_drive(Path("/anywhere")) == ""


def test_here(tmp_path):
    assert list(drives._mounts()) and drives.network_drive(tmp_path) in {"", *drives.NETWORK}


def test_who_works_on_a_network_drive_is_told(monkeypatch):
    monkeypatch.setattr(drives, "_mounts", lambda: drives.of_linux(MOUNTINFO))
    (note,) = drives.notes_on(Path("/mnt/c/run"))
    assert "/mnt/c/run" in note and "9p" in note and drives.notes_on(Path("/tmp/run")) == []
