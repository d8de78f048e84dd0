"""Files, ports and folders that a server keeps from one run to the next."""

import contextlib
import fcntl
import hashlib
import os
import pwd
import random
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.servers.errors import ServerError

ELSEWHERE = Path("/var/tmp")  # survives a restart of the machine, and everybody may enter it
FORGOTTEN_AFTER = 3600.0


def kept(path: Path, make: Callable[[], str]) -> str:
    """The text in a file that only its owner may read; made once, the first time it is asked for."""
    if not path.exists():
        write_private(path, make())
    return path.read_text()


def write_private(path: Path, text: str) -> None:
    """Replaces a file by one that only its owner may read, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.touch(0o600, exist_ok=False)
    fresh.write_text(text)
    fresh.replace(path)


def is_free(port: int) -> bool:
    """Whether nobody listens on a TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A free TCP port, below the range that the system gives to outgoing connections."""
    ports = random.SystemRandom()
    return next(port for port in iter(lambda: ports.randrange(15_000, 32_000), 0) if is_free(port))


def kept_port(path: Path) -> int:
    """The port in a file if it is free, else another, which the file has from now on."""
    port = int(kept(path, lambda: str(free_port())))
    if not is_free(port):
        port = free_port()
        write_private(path, str(port))
    return port


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds a folder for this process; raises ServerError when another one holds it. The lock dies with its process."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = f"process {lock.read() or '?'} (another `make run`?)"
            raise ServerError(f"{directory} is in use by {holder}: stop that first") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def folder_for(user: str, wanted: Path) -> Path:
    """An existing private folder that belongs to `user`: `wanted` itself, or a link there to one that `user` can reach.

    A folder below /root, or below one with mode 0700, can't be used by another user; its contents go to /var/tmp.
    """
    account = pwd.getpwnam(user)
    if not wanted.exists():
        wanted.unlink(missing_ok=True)  # a link whose goal was removed
        place = wanted if _reachable(wanted.parent, account) else _place_elsewhere(wanted)
        place.mkdir(mode=0o700, parents=True)
        os.chown(place, account.pw_uid, account.pw_gid)
        if place != wanted:
            wanted.symlink_to(place)
    return wanted.resolve()


def remove(directory: Path) -> None:
    """Removes a folder together with what links inside it point to under /var/tmp."""
    for link in (path for path in directory.rglob("*") if path.is_symlink()):
        place = link.readlink()
        if _is_ours(place.parent):
            shutil.rmtree(place.parent)
    shutil.rmtree(directory, ignore_errors=True)


def _reachable(folder: Path, account: pwd.struct_passwd) -> bool:
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    for step in (folder.resolve(), *folder.resolve().parents):
        status = step.stat()
        owner, group = status.st_uid == account.pw_uid, status.st_gid in groups
        if not status.st_mode & (0o100 if owner else 0o010 if group else 0o001):
            return False
    return True


def _place_elsewhere(link: Path) -> Path:
    _remove_forgotten()
    home = ELSEWHERE / f"dragoman-{hashlib.sha256(os.fsencode(link.absolute())).hexdigest()[:16]}"
    if home.exists() and not _is_ours(home):
        raise ServerError(f"{home} belongs to somebody else: remove it, or use another checkout folder")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o711)
    home.joinpath("origin").write_text(str(link.absolute()))
    return home / link.name


def _is_ours(home: Path) -> bool:
    return (
        home.parent == ELSEWHERE
        and home.name.startswith("dragoman-")
        and not home.is_symlink()
        and home.is_dir()
        and home.stat().st_uid == os.getuid()
    )


def _remove_forgotten() -> None:
    """Removes the places of checkouts and test runs that are no longer there."""
    for home in filter(_is_ours, ELSEWHERE.glob("dragoman-*")):
        with contextlib.suppress(OSError):
            origin = Path(home.joinpath("origin").read_text())
            if not origin.is_symlink() and time.time() - home.stat().st_mtime > FORGOTTEN_AFTER:
                shutil.rmtree(home)
