"""What stands before moto: a log of all requests, idempotent client tokens, and what goes wrong.

Faults are for everybody but the harness itself, which signs with the access key `harness`.
"""

from __future__ import annotations

import fnmatch
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Answer = tuple[str, list[tuple[str, str]], bytes]

HARNESS = "harness"


@dataclass
class Faults:
    """What is to go wrong, by action: so many more times."""

    throttled: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    stale: dict[str, int] = field(default_factory=dict)
    # By access key: patterns like `autoscaling:Describe*`. A key without an entry may do all.
    allowed: dict[str, list[str]] = field(default_factory=dict)

    def take(self, faults: dict[str, int], action: str) -> bool:
        for name in (action, "*"):
            if faults.get(name, 0) > 0:
                faults[name] -= 1
                return True
        return False


@dataclass
class Request:
    """What a request asks for."""

    caller: str
    service: str
    action: str
    parameters: dict[str, str]

    @staticmethod
    def of(environ: Environ, body: bytes) -> Request:
        parameters = dict(parse_qsl(body.decode(errors="replace")))
        credential = re.search(
            r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", "")
        )
        caller, service = credential.groups() if credential else ("", "")
        action = parameters.pop("Action", "")
        parameters.pop("Version", None)
        return Request(caller, service, action, parameters)


class Front:
    """The WSGI application before moto's. One request at a time: moto knows no locks."""

    def __init__(self, application: Any, lock: threading.RLock, log: Path) -> None:
        self._application = application
        self._lock = lock
        self._log = open(log, "a", encoding="utf-8")  # as long as the process
        self.faults = Faults()
        self._answers: dict[tuple[str, str, str], tuple[dict[str, str], Answer]] = {}
        self._last: dict[tuple[str, str], Answer] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = BytesIO(body)
        request = Request.of(environ, body)
        with self._lock:
            answer, fault = self._answer(request, environ, body)
            self._write(request, answer, fault)
        status, headers, content = answer
        if fault == "lost":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        start_response(status, headers)
        return [content]

    def _answer(self, request: Request, environ: Environ, body: bytes) -> tuple[Answer, str | None]:
        faults, action = self.faults, request.action
        if request.caller == HARNESS:
            return self._ask(environ), None
        if not self._may(request):
            return _denied(request), "denied"
        if faults.take(faults.throttled, action):
            return _throttled(request), "throttled"
        token = request.parameters.get("ClientToken")
        key = (request.caller, action, token or "")
        if token and key in self._answers:
            before, answer = self._answers[key]
            if before != request.parameters:
                return _mismatch(), "token"
            return answer, "repeated"
        if self._last.get((action, body.decode())) and faults.take(faults.stale, action):
            return self._last[action, body.decode()], "stale"
        answer = self._ask(environ)
        if answer[0].startswith("200"):
            if token:
                self._answers[key] = (request.parameters, answer)
            if action.startswith("Describe"):
                self._last[action, body.decode()] = answer
        return answer, "lost" if faults.take(faults.lost, action) else None

    def _may(self, request: Request) -> bool:
        allowed = self.faults.allowed.get(request.caller)
        name = f"{request.service}:{request.action}"
        return allowed is None or any(fnmatch.fnmatchcase(name, each) for each in allowed)

    def _ask(self, environ: Environ) -> Answer:
        said: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            said.extend((status, headers))

        content = b"".join(self._application(environ, start))
        return said[0], said[1], content

    def _write(self, request: Request, answer: Answer, fault: str | None) -> None:
        code = re.search(rb"<Code>(.*?)</Code>", answer[2]) if answer[0][0] != "2" else None
        line = {
            "time": time.time(),
            "caller": request.caller,
            "service": request.service,
            "action": request.action,
            "parameters": request.parameters,
            "status": int(answer[0].split()[0]),
            "error": code.group(1).decode() if code else None,
            "fault": fault,
        }
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()


def _denied(request: Request) -> Answer:
    message = (
        f"User: arn:aws:iam::123456789012:user/{request.caller} is not authorized to perform: "
        f"{request.service}:{request.action} because no identity-based policy allows the "
        f"{request.service}:{request.action} action"
    )
    code = "UnauthorizedOperation" if request.service == "ec2" else "AccessDenied"
    return _error(request, "403 FORBIDDEN", code, message)


def _throttled(request: Request) -> Answer:
    if request.service == "ec2":
        message = "Request limit exceeded."
        return _error(request, "503 SERVICE UNAVAILABLE", "RequestLimitExceeded", message)
    return _error(request, "400 BAD REQUEST", "Throttling", "Rate exceeded")


def _mismatch() -> Answer:
    message = "The client token was used before, with other parameters."
    request = Request("", "ec2", "", {})
    return _error(request, "400 BAD REQUEST", "IdempotentParameterMismatch", message)


def _error(request: Request, status: str, code: str, message: str) -> Answer:
    """An error in the shape of the service's protocol."""
    error = f"<Code>{code}</Code><Message>{message}</Message>"
    if request.service == "ec2":
        body = (
            f"<Response><Errors><Error>{error}</Error></Errors><RequestID>0</RequestID></Response>"
        )
    else:
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error>"
            "<RequestId>0</RequestId></ErrorResponse>"
        )
    return status, [("Content-Type", "text/xml")], body.encode()
