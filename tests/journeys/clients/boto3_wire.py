"""boto3 in the ways users configure it: paginators, streams, presigned URLs, hard-coded hosts, https with multipart and trailers."""

import hashlib
import io
import json
import os
import sys
import threading

import boto3
import botocore.exceptions
import requests
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

facts = {}
s3 = boto3.client("s3")
s3.create_bucket(Bucket="wire")

# Hosts written into the code: STS as the SageMaker SDK does it, S3 with its virtual host.
hard = boto3.client("sts", endpoint_url="https://sts.us-east-1.amazonaws.com").get_caller_identity()
facts["hard_sts"] = hard["Arn"] == boto3.client("sts").get_caller_identity()["Arn"]
virtual = boto3.client("s3", endpoint_url="https://s3.us-east-1.amazonaws.com", config=Config(s3={"addressing_style": "virtual"}))
virtual.put_object(Bucket="wire", Key="by-host", Body=b"host")
facts["hard_s3"] = s3.get_object(Bucket="wire", Key="by-host")["Body"].read().decode()

# Pages.
for n in range(25):
    s3.put_object(Bucket="wire", Key=f"pages/{n:02d}", Body=b"x" * n)
pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="wire", Prefix="pages/", PaginationConfig={"PageSize": 10}))
facts["pages"] = [len(page["Contents"]) for page in pages]
resource = boto3.resource("s3").Bucket("wire")
facts["resource"] = sum(o.size for o in resource.objects.filter(Prefix="pages/"))
facts["buckets"] = "wire" in [b["Name"] for b in s3.list_buckets()["Buckets"]]

# Presigned, with a client that knows nothing of AWS.
put = s3.generate_presigned_url("put_object", Params={"Bucket": "wire", "Key": "signed"}, ExpiresIn=60)
facts["signed_put"] = requests.put(put, data=b"by requests").status_code
for version in ("s3", "s3v4"):
    client = boto3.client("s3", config=Config(signature_version=version))
    url = client.generate_presigned_url("get_object", Params={"Bucket": "wire", "Key": "signed"}, ExpiresIn=60)
    facts[f"signed_{version}"] = requests.get(url).text
    other = requests.get(url.replace("/signed?", "/by-host?"))
    facts[f"other_{version}"] = [other.status_code, "SignatureDoesNotMatch" in other.text]

# https straight to the platform's own port: chunked bodies with trailing checksums, multipart up, ranges down.
secure = boto3.client("s3", endpoint_url=sys.argv[1].replace("http://", "https://"), config=Config(proxies={"http": None, "https": None}))
facts["secure"] = secure.meta.endpoint_url
blob = os.urandom(20 << 20)
secure.put_object(Bucket="wire", Key="whole", Body=blob)
secure.upload_fileobj(io.BytesIO(blob), "wire", "parts", Config=TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20))
digest = hashlib.sha256(blob).hexdigest()
for key in ("whole", "parts"):
    back = io.BytesIO()
    secure.download_fileobj("wire", key, back)
    facts[f"same_{key}"] = hashlib.sha256(back.getvalue()).hexdigest() == digest
    head = secure.head_object(Bucket="wire", Key=key, ChecksumMode="ENABLED")
    facts[f"head_{key}"] = {k: head.get(k) for k in ("ETag", "ContentLength", "ContentEncoding", "ChecksumCRC32", "ChecksumType")}
facts["range"] = secure.get_object(Bucket="wire", Key="whole", Range="bytes=100-199")["Body"].read() == blob[100:200]

# Many at once.
errors = []


def one(n):
    try:
        key = f"many/{n}"
        s3.put_object(Bucket="wire", Key=key, Body=str(n).encode())
        assert s3.get_object(Bucket="wire", Key=key)["Body"].read() == str(n).encode()
    except Exception as problem:
        errors.append(repr(problem))


threads = [threading.Thread(target=one, args=(n,)) for n in range(40)]
[t.start() for t in threads]
[t.join() for t in threads]
facts["errors"] = errors

for name, call in {
    "no_key": lambda: s3.get_object(Bucket="wire", Key="none"),
    "no_bucket": lambda: s3.list_objects_v2(Bucket="no-such-bucket-here"),
    "wrong_secret": lambda: boto3.client("sts", aws_secret_access_key="wrong", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
                                         aws_session_token=os.environ["AWS_SESSION_TOKEN"]).get_caller_identity(),
    "wrong_key": lambda: boto3.client("sts", aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x").get_caller_identity(),
}.items():  # fmt: skip
    try:
        call()
    except botocore.exceptions.ClientError as error:
        facts[name] = [error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]]
resource.objects.all().delete()
resource.delete()
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
