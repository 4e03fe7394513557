from fastapi import FastAPI, Request, Response
from model import load

predict, app = load(), FastAPI()


@app.get("/ping")
def ping():
    return {}


@app.post("/invocations")
async def invocations(request: Request):
    rows = [[float(v) for v in line.split(",")] for line in (await request.body()).decode().splitlines()]
    return Response("\n".join(map(str, predict(rows))) + "\n", media_type="text/csv")
