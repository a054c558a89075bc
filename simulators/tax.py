"""The tax register: gzip XML files in a drop, over HTTP with a Basic password.

Files are written on the first request for their drop and kept in the world's folder.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import hmac
import json
import re
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from simulators.population import render
from simulators.population_wsdl import Tree
from simulators.registers import COLUMNS
from simulators.serving import credential, serve_http
from simulators.store import DAY0, read_today

ROWS_PER_FILE = 50_000
_BATCH = 10_000
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<NguoiNopThueCollection xmlns="urn:motlan:tax:1.0">\n'
_COLUMNS: Tree = {"MaHoSo": "_key", "NgayCapNhat": "_moment", **{name: name for name in COLUMNS["tax_taxpayers"]}}
_ROW = render({"NguoiNopThue": _COLUMNS})


class Drops:
    """The drops of a world: one full of day 0, then a delta a day."""

    def __init__(self, world: Path) -> None:
        self._world = world
        self._rows = world / "registers" / "tax_taxpayers" / "rows.parquet"
        self._folder = world / "tax"
        self._lock = threading.Lock()

    def index(self) -> list[dict[str, str]]:
        """The drops up to today, oldest first."""
        return [
            {"name": name, "kind": "delta" if day else "full", "manifest": f"{name}/manifest.json"}
            for day in range(read_today(self._world) + 1)
            for name in [self._name(day)]
        ]

    def path(self, name: str, file: str) -> Path | None:
        """A file of a drop that is there today, written if it was not yet; None if there is no such file."""
        days = {drop["name"]: day for day, drop in enumerate(self.index())}
        if name not in days or not re.fullmatch(r"manifest\.json|NguoiNopThue-\d{4}\.xml\.gz", file):
            return None
        with self._lock:
            if not (self._folder / name / "manifest.json").exists():
                self._write(name, days[name])
        path = self._folder / name / file
        return path if path.exists() else None

    @staticmethod
    def _name(day: int) -> str:
        return f"{DAY0 + timedelta(days=day)}-{'delta' if day else 'full'}"

    def _write(self, name: str, day: int) -> None:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(config={"threads": 2}) as con:
            rows = con.execute(f"SELECT {_ROW} FROM read_parquet('{self._rows}') WHERE _day = ?", [day])
            files: list[dict[str, Any]] = []
            while batch := rows.fetchmany(_BATCH):
                files.append(self._write_file(folder, len(files) + 1, rows, [row[0] for row in batch]))
        manifest = {
            "name": name,
            "kind": "delta" if day else "full",
            "created": f"{DAY0 + timedelta(days=day)}T23:59:59.999999Z",
            "rows": sum(file["rows"] for file in files),
            "files": files,
        }
        unfinished = folder / "manifest.json.new"
        unfinished.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(folder / "manifest.json")

    @staticmethod
    def _write_file(folder: Path, number: int, rows: duckdb.DuckDBPyConnection, batch: list[str]) -> dict[str, Any]:
        path = folder / f"NguoiNopThue-{number:04}.xml.gz"
        written = 0
        # No time stamp in the gzip header: the same world gives the same bytes.
        with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=3, fileobj=raw, mtime=0) as packed:
            packed.write(_HEAD.encode())
            while batch:
                packed.write("\n".join(batch).encode())
                written += len(batch)
                batch = [row[0] for row in rows.fetchmany(_BATCH)] if written < ROWS_PER_FILE else []
            packed.write(b"\n</NguoiNopThueCollection>\n")
        content = path.read_bytes()
        return {
            "name": path.name,
            "rows": written,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }


def application(world: Path) -> Starlette:
    """The drop as a web application."""
    drops = Drops(world)
    right = base64.b64encode(":".join(credential(world, "tax")).encode())

    def known(request: Request) -> bool:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64encode(base64.b64decode(value))
        except binascii.Error:
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, right)

    async def index(request: Request) -> Response:
        return JSONResponse({"drops": drops.index()}) if known(request) else _refusal()

    async def file(request: Request) -> Response:
        if not known(request):
            return _refusal()
        path = await run_in_threadpool(drops.path, request.path_params["drop"], request.path_params["file"])
        if path is None:
            return PlainTextResponse("no such file", 404)
        media_type = "application/json" if path.suffix == ".json" else "application/gzip"
        return FileResponse(path, media_type=media_type)

    return Starlette(routes=[Route("/drops/index.json", index), Route("/drops/{drop}/{file}", file)])


def _refusal() -> Response:
    return PlainTextResponse("the user or the password is wrong", 401, {"WWW-Authenticate": 'Basic realm="tax"'})


def serve(world: Path, port: int) -> None:
    """Serve the drop until told to stop."""
    serve_http(application(world), port, "")
