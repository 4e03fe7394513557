"""The model server of managed images: SageMaker's inference contract on 8080 and, for the platform, on a unix socket.

`GET /ping`, `POST /invocations`, `GET /execution-parameters`; one process per core that share the sockets; in each
process one thing is predicted at a time, and requests that wait meanwhile are predicted together when the handler
can. Nothing ever waits for company: an idle server answers at once.
"""
