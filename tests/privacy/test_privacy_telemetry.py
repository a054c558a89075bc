"""What an operator's tools read (log lines, spans, metrics, probes) tells nothing of the people in the runs."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from motlan import pipeline
from motlan.console.server import create_app
from motlan.errors import MotlanError
from motlan.telemetry import logs, traces
from tests.conftest import Country
from tests.privacy.leaks import Known


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(traces, "_own_provider", lambda _: provider)
    return exporter


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="motlan")
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_logs_spans_and_metrics_of_a_job_and_of_a_failure_hold_no_value(
    crowd: Country, known: Known, somebody: str, spans: InMemorySpanExporter, written: io.StringIO
) -> None:
    for dataset in ("alpha_people", "beta_cards"):
        pipeline.sync(dataset)
    pipeline.reconcile()
    pipeline.project(pipeline.publish()["run"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("motlan.ingest.watermark.move", lambda *_: int(somebody))
        with pytest.raises(MotlanError):
            pipeline.sync("beta_cards")
    client = TestClient(create_app())
    told = [written.getvalue(), client.get("/metrics").text, client.get("/ready").text]
    told += [span.to_json() for span in spans.get_finished_spans()]
    assert {"pipeline.link", "pipeline.publish", "duckdb select"} <= {span.name for span in spans.get_finished_spans()}
    assert '"step": "merge"' in told[0]
    assert "commit of beta_cards failed: ValueError" in told[0]
    assert "select" not in told[0].lower()
    assert known.leaked(*told) == []
