"""`motlan serve` and `motlan metrics`: the servers that an operator runs, and what monitors them."""

from __future__ import annotations

from typing import Annotated

import typer

from motlan.cli.output import examples, report_errors
from motlan.telemetry import logs

Host = Annotated[str, typer.Option(help="The address that it listens on; loopback alone by default.")]
FEEDS_PORT, METRICS_PORT = 8900, 8901
metrics_app = typer.Typer(
    help="What monitors the bus: metrics for Prometheus, and probes.",
    epilog=examples("motlan metrics serve", "motlan metrics show"),
    no_args_is_help=True,
)
SERVE = examples("motlan serve", "motlan serve --host 0.0.0.0 --port 8900")


def run_server(app: str, host: str, port: int) -> None:
    """Run a web server until it is stopped. Its log has no addresses of calls, which may name persons."""
    import uvicorn

    # Where the log is JSON, the server's own lines go through our handler.
    told = {"log_config": None} if logs.configure() else {"log_level": "warning"}
    uvicorn.run(app, factory=True, host=host, port=port, access_log=False, **told)


def serve(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its port.", min=1, max=65535)] = FEEDS_PORT,
) -> None:
    """Serve the feeds to the agencies: the change feed, `/health` and `/ready`."""
    run_server("motlan.feeds.app:create_app", host, port)


@metrics_app.command("serve", epilog=examples("motlan metrics serve", "curl http://127.0.0.1:8901/metrics"))
def serve_metrics(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its port.", min=1, max=65535)] = METRICS_PORT,
) -> None:
    """Serve `/metrics`, `/health` and `/ready` to the operator's tools, and pages of runs (`/console`), apart from the feeds."""
    run_server("motlan.console.server:create_app", host, port)


@metrics_app.command("show", epilog=examples("motlan metrics show"))
def show() -> None:
    """Print the metrics once, in Prometheus' text format."""
    from motlan.monitoring.metrics import exposition
    from motlan.workspace import open_workspace

    with report_errors():
        typer.echo(exposition(open_workspace()).decode(), nl=False)
