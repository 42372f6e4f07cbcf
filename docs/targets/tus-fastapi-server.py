"""A tus server in Python, by tuspyserver: see tus.md. Run with: python tus-fastapi-server.py PORT FOLDER"""

import hashlib
import json
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from tuspyserver import create_tus_router

FOLDER = Path(sys.argv[2])
app = FastAPI()
complete: dict[str, dict[str, str]] = {}


def keep(path: str, metadata: dict[str, str]) -> None:
    complete[path] = metadata


app.include_router(create_tus_router(prefix="files", files_dir=str(FOLDER), on_upload_complete=keep))


@app.get("/stored", response_class=PlainTextResponse)
def stored() -> str:
    lines = []
    for path, metadata in list(complete.items()):  # uploads go on while this runs in a thread of its own
        if Path(path).exists():
            key = {name: metadata[name] for name in ("station", "form", "page")}
            lines.append(json.dumps({**key, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}) + "\n")
    return "".join(lines)


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
