"""Sends traces and metrics to Application Insights, by Microsoft's exporter for OpenTelemetry."""

from __future__ import annotations

from typing import Any


def exporters(connection: str) -> tuple[Any, Any]:
    """The exporters of spans and of metrics; nothing is kept on disk, for the root is read-only.

    Raises ImportError without requirements-azure-monitor.txt, and ValueError for what is no
    connection string.
    """
    from azure.monitor.opentelemetry.exporter import (
        AzureMonitorMetricExporter,
        AzureMonitorTraceExporter,
    )

    given = {"connection_string": connection, "disable_offline_storage": True}
    return AzureMonitorTraceExporter(**given), AzureMonitorMetricExporter(**given)
