"""The leader: one run, experiments, calibration, remote workers."""
