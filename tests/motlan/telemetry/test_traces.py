"""Traces: nothing at all where no collector is named; else steps and queries under the scheduler's task, without a value."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from motlan.expressions import connect
from motlan.telemetry import traces

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setattr(traces, "_own_provider", lambda _: provider)
    return exporter


def test_nothing_of_opentelemetry_is_imported_where_no_collector_is_named() -> None:
    code = (
        "import sys, motlan.pipeline; print([n for n in sys.modules if n.startswith(('opentelemetry', 'prometheus'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_query_is_traced_by_its_keyword_alone(kept: InMemorySpanExporter) -> None:
    with traces.span("pipeline.link", entity="person"), connect() as engine:
        engine.execute("-- Nguyễn\n select 'Nguyễn Văn An' as full_name").fetchall()
        engine.execute("PRAGMA database_size").fetchall()
    query, other, step = kept.get_finished_spans()
    assert (query.name, other.name, step.name) == ("duckdb select", "duckdb other", "pipeline.link")
    assert query.parent
    assert query.parent.span_id == step.context.span_id
    assert dict(query.attributes or {}) == {"db.system.name": "duckdb", "db.operation.name": "select"}
    assert dict(step.attributes or {}) == {"motlan.entity": "person"}


def test_a_step_has_its_run_and_its_numbers_and_no_text(kept: InMemorySpanExporter) -> None:
    with traces.span("pipeline.land"):
        traces.annotate({"run": "r1", "step": "land"}, {"landed": 3, "seconds": 0.5, "cursor": "An", "ok": True})
    (span,) = kept.get_finished_spans()
    assert dict(span.attributes or {}) == {
        "motlan.run": "r1",
        "motlan.step": "land",
        "motlan.count.landed": 3,
        "motlan.count.seconds": 0.5,
    }


def test_an_error_is_told_by_its_class(kept: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError), traces.span("pipeline.land"):
        raise ValueError("Nguyễn Văn An")
    (span,) = kept.get_finished_spans()
    assert "Nguyễn" not in span.to_json()
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert span.status.status_code is trace.StatusCode.ERROR
    assert not span.events


def test_a_step_is_under_the_span_of_the_task_around_it(kept: InMemorySpanExporter) -> None:
    task = TracerProvider().get_tracer("airflow").start_span("worker.land")
    with trace.use_span(task), traces.span("pipeline.land"):
        pass
    (span,) = kept.get_finished_spans()
    assert span.parent == task.get_span_context()


def test_a_process_goes_on_with_the_trace_that_started_it(
    kept: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    with traces.span("pipeline.land"):
        pass
    (span,) = kept.get_finished_spans()
    assert span.context.trace_id == 0x0AF7651916CD43DD8448EB211C80319C


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ExportTraceServiceRequest]]:
    received: list[Any] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    traces._own_provider.cache_clear()
    yield received
    traces._own_provider.cache_clear()
    server.shutdown()


def test_a_collector_that_is_away_ends_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    traces._own_provider.cache_clear()
    with traces.span("pipeline.land"):
        done = True
    traces._own_provider(os.getpid()).shutdown()
    traces._own_provider.cache_clear()
    assert done


def test_a_collector_has_the_spans_when_the_outermost_one_ends(collector: list[ExportTraceServiceRequest]) -> None:
    with traces.span("pipeline.sync"), traces.span("pipeline.land"):
        assert collector == []
    (request,) = collector
    (resource,) = request.resource_spans
    assert {span.name for scoped in resource.scope_spans for span in scoped.spans} == {"pipeline.sync", "pipeline.land"}
    assert "motlan" in {attribute.value.string_value for attribute in resource.resource.attributes}
