import json


def input_handler(data, context):
    """Lines of `x=1` as instances."""
    if context.request_content_type != "text/x-lines":
        return data.read().decode()
    return json.dumps({"instances": [[float(line.split("=")[1])] for line in data.read().decode().splitlines()]})


def output_handler(data, context):
    if data.status_code != 200:
        raise ValueError(data.content.decode("utf-8"))
    return data.content, context.accept_header
