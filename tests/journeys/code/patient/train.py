"""Works for some real seconds, says so once a second, and uses its role's session at the end."""

import json
import os
import time
from pathlib import Path

import boto3

began = time.time()
for second in range(int(os.environ["SM_HP_SECONDS"])):
    print("second", second, flush=True)
    time.sleep(1)
row = boto3.client("s3").get_object(Bucket=os.environ["SM_HP_BUCKET"], Key=os.environ["SM_HP_KEY"])["Body"].read().decode()
facts = {"row": row, "seconds": time.time() - began, "began": began}
Path(os.environ["SM_MODEL_DIR"], "facts.json").write_text(json.dumps(facts))
