"""Starts real Redis and PostgreSQL servers for tests, each in a folder and on a free port of its own, and stops them.

`python tests/servers.py COMMAND...` runs a command with both, named in ROLECORE_TEST_REDIS and ROLECORE_TEST_POSTGRES.
Without a command it prints these as lines for a shell, and keeps the servers until its input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")
HOST = "127.0.0.1"
HOW = "run `make test-servers`, or name a server of yours in {}"
REDIS_URL = os.environ.get("ROLECORE_TEST_REDIS", "")
POSTGRES_URL = os.environ.get("ROLECORE_TEST_POSTGRES", "")
NEEDS_REDIS = HOW.format("ROLECORE_TEST_REDIS=redis://127.0.0.1:6379/0")
NEEDS_POSTGRES = HOW.format("ROLECORE_TEST_POSTGRES=postgresql://user:password@127.0.0.1:5432/database")
PASSWORD = "s3cret/of:tests@"  # noqa: S105  of a server that lives as long as a test
_QUOTED_PASSWORD = "s3cret%2Fof%3Atests%40"  # noqa: S105
_DEBIAN_BIN = Path("/usr/lib/postgresql/15/bin")
_PATIENCE_S = 60.0


def until(is_so: Callable[[], bool], what: str, patience_s: float = _PATIENCE_S) -> None:
    """Wait for what another process does; looks a few hundred times a second."""
    end = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > end:
            text = f"{what}: not within {patience_s} s"
            raise TimeoutError(text)
        time.sleep(0.003)


async def until_is(ask: Callable[[], Awaitable[T]], is_so: Callable[[T], bool]) -> None:
    """Ask a server until it answers so."""
    async with asyncio.timeout(_PATIENCE_S):
        while not is_so(await ask()):  # noqa: ASYNC110  another process's doing
            await asyncio.sleep(0.003)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as taken:
        return int(taken.getsockname()[1])


class _Server:
    _end = signal.SIGKILL  # what it acknowledged is on the disk

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, **self._owner())
        until(self._answers, f"start of {type(self).__name__}; see {self.folder / 'log'}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(self._end)
            self._process.wait(_PATIENCE_S)
            self._process = None

    def kill(self) -> None:
        """Kill it and what it started, without a word, and wait for their ends."""
        assert self._process is not None
        family = [self.pid, *_children(self.pid)]
        self._signal_all(signal.SIGKILL)
        self._process.wait(_PATIENCE_S)
        self._process = None
        until(lambda: not any(map(_is_alive, family)), "end of killed processes")

    def freeze(self) -> None:
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        for pid in (self.pid, *_children(self.pid)):
            with contextlib.suppress(ProcessLookupError):  # one that just ended
                os.kill(pid, number)

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _owner(self) -> dict[str, Any]:
        return {}


class RedisServer(_Server):
    """Appends each write to a file and syncs it, unless told otherwise."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self._options = options
        self._password = options[options.index("--requirepass") + 1] if "--requirepass" in options else ""
        self.url = f"redis://{HOST}:{self.port}/0"

    def _command(self) -> list[str]:
        settings = f"--port {self.port} --bind {HOST} --appendonly yes --appendfsync always --daemonize no --dir"
        return ["redis-server", *settings.split(), str(self.folder), "--save", "", *self._options]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "redis-server ended; see its log"
        try:
            with socket.create_connection((HOST, self.port), 1) as connection:
                if self._password:
                    connection.sendall(f"AUTH {self._password}\r\n".encode())
                    connection.recv(100)
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith(b"+PONG")
        except OSError:
            return False


class PostgresServer(_Server):
    """Asks for a password; the user is `rolecore`, who may do all."""

    _end = signal.SIGINT  # without waiting for clients; it leaves shared memory behind when killed

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self._options = options
        self._data = folder / "data"
        self.url = f"postgresql://rolecore:{_QUOTED_PASSWORD}@{HOST}:{self.port}/postgres"
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        with tempfile.NamedTemporaryFile("w", dir=folder) as password:
            password.write(PASSWORD)
            password.flush()
            if os.geteuid() == 0:
                shutil.chown(password.name, "postgres", "postgres")
            words = "--no-sync --username=rolecore --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8"
            self._run("initdb", *words.split(), f"--pwfile={password.name}", "-D", str(self._data))

    def _command(self) -> list[str]:
        settings = f"-p {self.port} -c listen_addresses={HOST} -k {self.folder}"
        return [_postgres("postgres"), "-D", str(self._data), *settings.split(), *self._options]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "postgres ended; see its log"
        asked = subprocess.run(
            [_postgres("pg_isready"), "-q", "-h", HOST, "-p", str(self.port)], check=False, capture_output=True
        )
        return asked.returncode == 0

    def _owner(self) -> dict[str, Any]:
        # It refuses to run as root.
        return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}

    def _run(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [_postgres(name), *words], check=False, capture_output=True, text=True, cwd=self.folder, **self._owner()
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _postgres(name: str) -> str:
    found = _DEBIAN_BIN / name
    return str(found) if found.exists() else name


def _children(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(child) for child in listed.split()]


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@contextlib.contextmanager
def running(kind: type[RedisServer | PostgresServer], *options: str) -> Iterator[Any]:
    """Start a server in a folder under the system's temporary one, which the server's user can reach."""
    with tempfile.TemporaryDirectory(prefix="rolecore-") as name:
        server = kind(Path(name), *options)
        try:
            server.start()
            yield server
        finally:
            with contextlib.suppress(AssertionError):  # it has ended
                server.thaw()
            server.stop()


def main(command: list[str]) -> int:
    # A terminal's interrupt reaches the servers too; ours is to stop them in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running(RedisServer) as redis, running(PostgresServer) as postgres:
        urls = {"ROLECORE_TEST_REDIS": redis.url, "ROLECORE_TEST_POSTGRES": postgres.url}
        if command:
            return subprocess.run(command, check=False, env=os.environ | urls).returncode
        for name, url in urls.items():
            print(f"export {name}={url}", flush=True)  # noqa: T201  its answer
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
