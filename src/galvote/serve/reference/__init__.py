"""The API's documentation as a page: written from its OpenAPI description, without content from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

HERE = Path(__file__).parent


def write_reference(api: Mapping[str, Any], server: str) -> str:
    """Return the page.

    Parameters
    ----------
    api
        The OpenAPI description.
    server
        Where the server is, for the examples.
    """
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True)
    environment.filters |= {"values": _say_values, "curl": _write_curl, "example": _write_example}
    return environment.get_template("page.html").render(api=api, server=server)


def _say_values(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    ends = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
    }
    said = [form.format(schema[key]) for key, form in ends.items() if key in schema]
    return " ".join(said) or schema.get("type", "text")


def _write_curl(operation: Mapping[str, Any], path: str, server: str) -> str:
    (field,) = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    token = ' -H "Authorization: Bearer $GALVOTE_TOKEN"' if "security" in operation else ""
    return f"curl{token} -F {field}=@galaxy.jpg {server.rstrip('/')}{path}"


def _write_example(response: Mapping[str, Any]) -> str:
    example = response.get("content", {}).get("application/json", {}).get("example")
    return json.dumps(example, indent=1, ensure_ascii=False) if example else ""
