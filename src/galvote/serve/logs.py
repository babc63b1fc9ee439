"""Structured logs: a JSON object a line, without pictures, file names or tokens."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

LOG = logging.getLogger("galvote.serve")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; what was passed as ``extra={"fields": {…}}`` becomes members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def log(event: str, level: int = logging.INFO, *, error: bool = False, **fields: object) -> None:
    """Write a line; with the traceback of the error that is being handled, if asked for."""
    LOG.log(level, event, extra={"fields": fields}, exc_info=error)


def write_json_lines(level: int = logging.INFO) -> None:
    """Let this server and uvicorn log to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("galvote.serve", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)
