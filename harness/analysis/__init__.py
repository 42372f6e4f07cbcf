"""Run folder -> figures. Every figure is computed once, here; this is the only user of DuckDB."""
