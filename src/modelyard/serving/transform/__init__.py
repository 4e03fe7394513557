"""Batch transform's data plane: an object goes in as pieces, comes out as the model's answers in the same order.

records.py     pieces → payloads: split by line, RecordIO or TFRecord; one record or as many as fit
gzip.py        pieces of a gzip object → its content, in bounded memory
jsonpath.py    the JSONPath that AWS takes in InputFilter and OutputFilter
table.py       CSV: columns selected, rows joined
processing.py  InputFilter → (the model) → JoinSource → OutputFilter, for CSV and JSON
caller.py      one payload through the containers of an instance: time limit, retries, restarts
stream.py      an object of any size as one chunked request (MaxPayloadInMB 0)
walk.py        all payloads of an object: so many at once, answers in order, memory bounded

It knows neither records nor S3: whoever calls it brings pieces, a sink and an instance.
"""
