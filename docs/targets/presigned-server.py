"""A server that hands out presigned addresses of an S3-like store: see s3.md. Run with: python presigned-server.py PORT STORE"""

import hashlib
import sys

import boto3
import uvicorn
from botocore.config import Config
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

BUCKET = "presigned"
KEYS = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "example"}
s3 = boto3.client(
    "s3", endpoint_url=sys.argv[2], region_name="us-east-1", config=Config(signature_version="s3v4"), **KEYS
)
s3.create_bucket(Bucket=BUCKET)
app = FastAPI()


@app.post("/uploads/{name}")
def create(name: str) -> dict[str, str]:
    return {"url": s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": name}, ExpiresIn=60), "id": name}


@app.post("/uploads/{name}/done")
def done(name: str) -> dict[str, object]:
    return {"size": s3.head_object(Bucket=BUCKET, Key=name)["ContentLength"]}


@app.get("/stored", response_class=PlainTextResponse)
def stored() -> str:
    lines = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for key in (found["Key"] for found in page.get("Contents", [])):
            body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            lines.append(f"{hashlib.sha256(body).hexdigest()}  {key}\n")
    return "".join(lines)


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
