"""Calibrations on disk. They describe a machine, so they live in the user's state folder and not in any run folder."""

from __future__ import annotations

import os
from pathlib import Path

from harness.base.safe_files import load_json, write_json
from harness.judge.compare.noise import Noise


def noise_folder() -> Path:
    """`$XDG_STATE_HOME/upload-harness/noise`; by default `~/.local/state/upload-harness/noise`."""
    named = os.environ.get("XDG_STATE_HOME", "")
    # A relative path is to be ignored (XDG Base Directory Specification).
    state = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return state / "upload-harness" / "noise"


def load_noise(folder: Path, key: str) -> Noise | None:
    """The calibration stored under a key; None if there is none.

    Raises RunFolderError for a file that can't be read: a gate must not silently lose its calibration.
    """
    return load_json(folder / f"{key}.json", Noise, advice="; remove it or run harness calibrate again")


def save_noise(folder: Path, noise: Noise) -> Path:
    """Store a calibration under its key, replacing an earlier one; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{noise.key}.json"
    write_json(path, noise.model_dump(mode="json"))
    return path
