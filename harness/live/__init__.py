"""The live page: follows a run, an experiment or a search while it goes on, and serves what it knows to browsers. An observer only."""
