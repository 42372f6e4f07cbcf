"""Where a machine's noise is kept: a file a scenario in the user's state directory, out of every run folder."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from harness.base.errors import RunFolderError
from harness.base.safe_files import explain_unreadable, read_bounded
from harness.judge.compare.noise import Noise
from harness.run_folder.layout import write_json


def noise_folder() -> Path:
    """`$XDG_STATE_HOME/upload-harness/noise`; by default `~/.local/state/upload-harness/noise`."""
    named = os.environ.get("XDG_STATE_HOME", "")
    state = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return state / "upload-harness" / "noise"


def load_noise(folder: Path, key: str) -> Noise | None:
    """The calibration that is kept under a key; None where there is none.

    Raises BrokenRunError for a file that can't be read: a gate must not lose its calibration in silence.
    """
    path = folder / f"{key}.json"
    try:
        return Noise.model_validate_json(read_bounded(path))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        message = f"{path} can't be read: {explain_unreadable(error)}; remove it or calibrate again"
        raise RunFolderError(message) from None


def save_noise(folder: Path, noise: Noise) -> Path:
    """Keep a calibration, in place of an earlier one; gives its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{noise.key}.json"
    write_json(path, noise.model_dump(mode="json"))
    return path
