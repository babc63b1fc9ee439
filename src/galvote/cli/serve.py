"""`galvote serve`: models behind an HTTP API and a page."""

from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from galvote.errors import GalvoteError

_limit = partial(typer.Option, rich_help_panel="Limits")
_batching = partial(typer.Option, rich_help_panel="Batches")

Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Shipped model, folder or .onnx file; repeatable. The first is default."),
]
Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all of this machine's.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="File of tokens, one a line; requests must bear one."),
]
Token = Annotated[
    str | None,
    typer.Option(envvar="GALVOTE_TOKEN", show_default=False, help="One token; better as the variable."),
]
AllowOrigin = Annotated[
    list[str] | None,
    typer.Option(help="Let pages of this origin ask from a browser, as https://example.org; repeatable."),
]
Timeout = Annotated[float, _limit(help="Seconds for a request, upload included.")]
MaxMegabytes = Annotated[float, _limit(help="Largest body of a request.")]
MaxPixels = Annotated[int, _limit(help="Largest image, by its header.")]
MaxFiles = Annotated[int, _limit(help="Most images in a request.")]
Queue = Annotated[int, _limit(help="Most images, times orientations, that wait at once.")]
Requests = Annotated[int, _limit(help="Most requests with images at once.")]
Batch = Annotated[int, _batching(help="Most images, times orientations, in one run of a network.")]
BatchWait = Annotated[float, _batching(help="Milliseconds that a batch waits for images being decoded.")]


def serve(
    model: Models = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token_file: TokenFile = None,
    token: Token = None,
    allow_origin: AllowOrigin = None,
    timeout: Timeout = 60,
    max_megabytes: MaxMegabytes = 64,
    max_pixels: MaxPixels = 25_000_000,
    max_files: MaxFiles = 256,
    queue: Queue = 4096,
    requests: Requests = 256,
    batch: Batch = 64,
    batch_wait_ms: BatchWait = 5,
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

    settings = ServeSettings(
        max_megabytes=max_megabytes,
        max_pixels=max_pixels,
        max_files=max_files,
        timeout=timeout,
        queue=queue,
        requests=requests,
        batch=batch,
        batch_wait=batch_wait_ms / 1000,
        tokens=(*([token.strip()] if token else []), *_read_tokens(token_file)),
        origins=tuple(allow_origin or ()),
    )
    if not settings.tokens and not _is_loopback(host):
        typer.secho(
            f"Warning: everybody who reaches {host}:{port} may use this server. Give it a token "
            "(GALVOTE_TOKEN or --token-file), or let a proxy decide who may ask.",
            fg="yellow",
            bold=True,
            err=True,
        )
    run_server([Predictor.load(name) for name in model or ["galvote-small"]], settings, host, port)


def _read_tokens(path: Path | None) -> list[str]:
    if path is None:
        return []
    tokens = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    if not tokens:
        raise GalvoteError(f"{path} holds no token; write one a line, or leave the option out.")
    return tokens


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
