"""Traces (OpenTelemetry): a scheduler's task, the pipeline's step in it, and each query of the engine. Off unless
`OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) names a collector; else it is not even imported.

A span has names of what is declared, ids of runs, counts and seconds. It has no text of a query and no value; of an error it
has the class alone. Where Airflow has a tracer of its own (`AIRFLOW__TRACES__OTEL_ON`), the spans go through it, under the
task's span; a process that was started with `TRACEPARENT` in its environment (W3C Trace Context) goes on with that trace.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NOTHING: AbstractContextManager[None] = nullcontext()
_KEYWORD = re.compile(r"\s*(?:--[^\n]*\n\s*)*\(*\s*([a-z]+)", re.IGNORECASE)
_KNOWN = frozenset(
    (
        "alter",
        "copy",
        "create",
        "delete",
        "describe",
        "drop",
        "insert",
        "select",
        "set",
        "truncate",
        "update",
        "values",
        "with",
    )
)


def on() -> bool:
    """Tell whether traces are kept."""
    return any(os.environ.get(name) for name in _ENDPOINTS)


def span(name: str, **attributes: str | int | float) -> AbstractContextManager[None]:
    """Trace a block under a name; nothing where traces are off.

    Args:
        name: Such as `pipeline.land`: never made of data.
        attributes: Declared names, ids of runs and counts, under `motlan.`.
    """
    return _span(name, attributes) if on() else _NOTHING


def query(engine: str, text: str) -> AbstractContextManager[None]:
    """Trace a query of an engine by its first keyword; nothing of its text is kept."""
    if not on():
        return _NOTHING
    found = _KEYWORD.match(text)
    keyword = found[1].lower() if found and found[1].lower() in _KNOWN else "other"
    return _span(f"{engine} {keyword}", {"db.system.name": engine, "db.operation.name": keyword}, prefix="")


def annotate(names: Mapping[str, str], counts: Mapping[str, Any] | None = None) -> None:
    """Add to the span that is under way which run and step it is of, and what the step counted: whole and other numbers alone."""
    if not on():
        return
    from opentelemetry import trace

    current = trace.get_current_span()
    current.set_attributes({f"motlan.{name}": value for name, value in names.items()})
    numbers = {name: value for name, value in (counts or {}).items() if _is_number(value)}
    current.set_attributes({f"motlan.count.{name}": value for name, value in numbers.items()})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@contextmanager
def _span(name: str, attributes: Mapping[str, str | int | float], prefix: str = "motlan.") -> Iterator[None]:
    from opentelemetry import trace

    provider = _provider()
    parent = None if trace.get_current_span().get_span_context().is_valid else _inherited()
    kept = {f"{prefix}{key}": value for key, value in attributes.items()}
    tracer = provider.get_tracer("motlan")
    # An exception's text and trace quote values: the class is told, and nothing is recorded.
    with tracer.start_as_current_span(
        name, context=parent, attributes=kept, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(trace.StatusCode.ERROR)
            raise
    if not trace.get_current_span().get_span_context().is_valid or parent is not None:
        provider.force_flush(2_000)  # the outermost one: a scheduler's task may end without any clean-up


def _inherited() -> Any:
    """Return the context of the process that started this one; an empty one where it named none."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {name: os.environ[name.upper()] for name in ("traceparent", "tracestate") if name.upper() in os.environ}
    return TraceContextTextMapPropagator().extract(carrier)


def _provider() -> Any:
    """Return what makes tracers: the process's own where it has one, such as Airflow's, or else ours."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    found = trace.get_tracer_provider()
    return found if isinstance(found, TracerProvider) else _own_provider(os.getpid())


@cache
def _own_provider(_: int) -> Any:
    """Make ours, once a process: a fork's threads are not its own."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = os.environ.get("OTEL_SERVICE_NAME") or os.environ.get("OTEL_RESOURCE_ATTRIBUTES")
    resource = Resource.create({} if named else {"service.name": "motlan"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(timeout=None if "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ else 3))
    )
    return provider
