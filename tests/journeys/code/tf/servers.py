"""Every parameter server of the cluster answers every host."""

import json
import os
import socket
import time

told = json.loads(os.environ["TF_CONFIG"])
for address in told["cluster"]["ps"]:
    host, port = address.split(":")
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((host, int(port)), 2).close()
            break
        except OSError:
            assert time.monotonic() < until, f"no server at {address}"
            time.sleep(0.1)
with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], f"{os.environ['SM_CURRENT_HOST']}.json"), "w") as file:
    json.dump(told, file)
