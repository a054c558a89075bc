"""Log lines as JSON, one object a line, where `MOTLAN_LOG=json`: moment in UTC, level, logger, event, run, step, kind, subject.

A line holds the text of our own loggers and of the web server's. Other libraries quote values in theirs, so that of them only
the level and the logger's name are told; of an exception that came with a line its class, and the words of an error of ours.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime

from motlan.errors import ConfigurationError, MotlanError
from motlan.telemetry import scope

OURS = ("motlan", "adapters", "motlan_airflow", "uvicorn")
"""Loggers whose text holds no value."""
LEFT_OUT = "(the text of another library is left out: it may quote a value)"


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        own = record.name.partition(".")[0] in OURS
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage() if own else LEFT_OUT,
            **scope.current(),
            **getattr(record, "counts", {}),
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line["error"] = type(error).__name__
            line |= {"told": str(error)} if isinstance(error, MotlanError) else {}
        return json.dumps(line, ensure_ascii=False)


def configure() -> bool:
    """Write the process's log to standard error as `MOTLAN_LOG` says: `json`, or `text`, where nothing is changed; tell which.

    Raises:
        ConfigurationError: It says something else.
    """
    wanted = os.environ.get("MOTLAN_LOG") or "text"
    if wanted not in ("json", "text"):
        raise ConfigurationError("no form of a log", where="MOTLAN_LOG", next_step="set it to json or text.")
    if wanted == "text":
        return False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    return True
