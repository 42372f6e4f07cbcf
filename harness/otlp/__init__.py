"""OpenTelemetry: a run's metrics and spans for a collector, from the scrapes and rows that are there anyway. Needs the extra otel."""
