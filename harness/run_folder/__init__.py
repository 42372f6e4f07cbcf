"""The run folder, the interface between stages: file names, records, journal, scrape log, Parquet tables."""
