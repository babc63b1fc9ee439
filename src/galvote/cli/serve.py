"""`galvote serve`: models behind an HTTP API and a page."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from galvote.errors import GalvoteError


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8000,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Name of a shipped model, or a folder; repeat it for more. The first is default."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="File of tokens, one a line: who asks must bear one."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="GALVOTE_TOKEN", show_default=False, help="One token; better as the variable."),
    ] = None,
    max_megabytes: Annotated[float, typer.Option(help="Largest body of a request.")] = 64,
    max_pixels: Annotated[int, typer.Option(help="Largest picture, by its header.")] = 25_000_000,
    max_files: Annotated[int, typer.Option(help="Most pictures in a request.")] = 256,
    timeout: Annotated[float, typer.Option(help="Seconds for a request, upload included.")] = 60,
    queue: Annotated[int, typer.Option(help="Most pictures, times views, that wait at once.")] = 4096,
    requests: Annotated[int, typer.Option(help="Most requests with pictures at once.")] = 256,
    batch: Annotated[int, typer.Option(help="Most pictures, times views, in one run of a network.")] = 64,
    batch_wait_ms: Annotated[
        float, typer.Option(help="Milliseconds that a batch waits for pictures that are being decoded.")
    ] = 5,
) -> None:
    """Serve models over HTTP: an API, its documentation at /docs, and a page to try them at /."""
    try:
        from galvote.serve.run import run_server
    except ModuleNotFoundError as error:
        raise GalvoteError(
            f"Serving needs {error.name}; install it with: pip install 'galvote[serve]'"
        ) from error
    from galvote.inference import Predictor
    from galvote.serve import ServeSettings

    tokens = [token] if token else []
    if token_file is not None:
        tokens += [line for line in token_file.read_text().splitlines() if line.strip()]
        if not tokens:
            raise GalvoteError(f"{token_file} holds no token; write one a line, or leave the option out.")
    settings = ServeSettings(
        max_megabytes=max_megabytes,
        max_pixels=max_pixels,
        max_files=max_files,
        timeout=timeout,
        queue=queue,
        requests=requests,
        batch=batch,
        batch_wait=batch_wait_ms / 1000,
        tokens=tuple(word.strip() for word in tokens),
    )
    if not tokens and not _is_loopback(host):
        typer.secho(
            f"Warning: everybody who reaches {host}:{port} may use this server. Give it a token "
            "(GALVOTE_TOKEN or --token-file), or let a proxy decide who may ask.",
            fg="yellow",
            bold=True,
            err=True,
        )
    run_server([Predictor.load(name) for name in model or ["galvote-small"]], settings, host, port)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
