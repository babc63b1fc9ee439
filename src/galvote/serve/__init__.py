"""galvote over HTTP: an API and a page."""

from galvote.serve.app import create_app
from galvote.serve.settings import ServeSettings

__all__ = ["ServeSettings", "create_app"]
