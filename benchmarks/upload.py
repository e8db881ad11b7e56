"""Standard input to one object, in parts, as a script with boto3 would: `… | upload.py URL BUCKET KEY`.

The key pair comes from the usual variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

import sys

import boto3
from botocore.config import Config

url, bucket, key = sys.argv[1:]
client = boto3.client(
    "s3", endpoint_url=url, region_name="us-east-1", config=Config(s3={"addressing_style": "path"})
)
client.upload_fileobj(sys.stdin.buffer, bucket, key)
