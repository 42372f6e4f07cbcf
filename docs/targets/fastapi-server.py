"""A FastAPI server with JWTs that tells success in the body: see fastapi.md. Run with: python fastapi-server.py PORT FOLDER"""

import hashlib
import sys
import time
from pathlib import Path

import jwt
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import PlainTextResponse

KEY = "a key of at least 32 bytes for HS256"
FOLDER = Path(sys.argv[2])
app = FastAPI()


@app.post("/api/login")
async def login(request: Request) -> dict[str, str]:
    user = (await request.json())["user"]
    return {
        "access_token": jwt.encode({"sub": user, "exp": time.time() + 5}, KEY, "HS256")
    }  # short, so that it expires


@app.put("/api/photos/{name}")
async def upload(name: str, request: Request, authorization: str = Header("")) -> dict[str, object]:
    try:
        jwt.decode(authorization.removeprefix("Bearer "), KEY, ["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None
    body = await request.body()
    if hashlib.sha256(body).hexdigest() != request.headers.get("x-sha256"):
        return {"ok": False, "error": "digest"}  # with status 200
    (FOLDER / name).write_bytes(body)
    return {"ok": True, "name": name}


@app.get("/api/stored", response_class=PlainTextResponse)
def stored() -> str:
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in FOLDER.iterdir())


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
