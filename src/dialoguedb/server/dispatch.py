"""One endpoint for all operations: route, key, limit, decode, call, encode (contract 10.3)."""

import hmac
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from dialoguedb import engine
from dialoguedb.contract import OPERATIONS
from dialoguedb.engine import Caller, Replayed, projects
from dialoguedb.errors import (
    DialogueDBError,
    Forbidden,
    InternalError,
    RateLimitExceeded,
    Unauthorized,
)
from dialoguedb.models import documents
from dialoguedb.models.times import text_of
from dialoguedb.operation import Operation
from dialoguedb.runtime import Runtime, monotonic_s
from dialoguedb.server import answers, logs, requests
from dialoguedb.server.answers import Answer
from dialoguedb.server.carrier import INLINE_BYTES, Carrier, Question
from dialoguedb.server.limits import Headers, RateLimiter
from dialoguedb.server.metrics import Metrics
from dialoguedb.server.requests import ClientGone, Receive, Scope
from dialoguedb.server.routes import Match, Routes, decoded
from dialoguedb.server.service import Service
from dialoguedb.settings import Settings
from dialoguedb.store.protocol import ReadTx
from dialoguedb.wire import RequestReader

log = logging.getLogger("dialoguedb.server")

_UNKNOWN = "unknown"
_ENVIRONMENT = "environment"


class OpenDoor(NamedTuple):
    """The key of the environment: its hash, and the project that it opens."""

    key_hash: bytes
    project_id: str


class _Call:
    """One request on its way; what the log line and the headers of its answer need."""

    __slots__ = (
        "headers",
        "key_id",
        "limits",
        "method",
        "operation",
        "project_id",
        "refusal",
        "request_id",
    )

    def __init__(self, request_id: str, scope: Scope) -> None:
        self.request_id = request_id
        self.method: str = scope["method"]
        self.headers = requests.headers_of(scope)
        self.operation = _UNKNOWN
        self.project_id = ""
        self.key_id = ""
        self.limits: Headers | None = None
        self.refusal: RateLimitExceeded | None = None


class Dispatch:
    """The ASGI application of the operations."""

    def __init__(
        self,
        settings: Settings,
        carrier: Carrier,
        runtime: Runtime,
        service: Service,
        metrics: Metrics,
        access_log: logs.AccessLog | None,
        door: OpenDoor | None,
    ) -> None:
        self._carrier = carrier
        self._runtime = runtime
        self._service = service
        self._metrics = metrics
        self._access_log = access_log
        self._door = door
        self._limiter = RateLimiter(settings.rate_limit, settings.rate_burst, runtime.now)
        self._routes = Routes()
        self._handlers = engine.handlers()
        refuse = settings.unknown_fields == "reject"
        self._readers = {
            name: RequestReader(_row(name), settings.limits, refuse_unknown=refuse)
            for name in self._handlers
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Any) -> None:
        """Answer one HTTP request."""
        began_s = monotonic_s()
        call = _Call(self._runtime.uuid(), scope)
        code = ""
        try:
            answer = await self._answer(call, scope, receive)
        except DialogueDBError as error:
            code = error.code
            answer = answers.of_error(error, call.request_id, self._now_text())
        except ClientGone:
            return
        except Exception:  # the edge of the server: nobody is shown a traceback
            log.exception("a request failed", extra={"fields": {"requestId": call.request_id}})
            code = InternalError.code
            answer = answers.of_error(InternalError(), call.request_id, self._now_text())
        await self._send(call, answer, send)
        self._note(call, answer, code, monotonic_s() - began_s)

    def _now_text(self) -> str:
        return text_of(self._runtime.now())

    async def _answer(self, call: _Call, scope: Scope, receive: Receive) -> Answer:
        raw_path = scope["raw_path"].decode("latin-1")
        match = self._routes.match(call.method, raw_path)
        operation = match.operations[0]
        call.operation = operation.name
        if operation.public:
            return await self._service.answer(operation, scope)
        opening = self._opening(call)
        after = None if operation.writes else requests.position_of(call.headers)
        if operation.body == "none" and not operation.writes:
            result = await self._carrier.look_up_and_read(
                opening, self._reading, call, match, scope, after=after
            )
            return _answer_of(operation, result)
        access = self._admitted(call, operation, await self._carrier.look_up(opening))
        body = b"" if operation.body == "none" else await requests.body_of(receive, call.headers)
        query = requests.query_of(scope)
        if len(body) > INLINE_BYTES:
            meant = await self._carrier.apart(self._task, call, access, match, query, body)
        else:
            meant = self._task(call, access, match, query, body)
        operation, task = meant
        call.operation = operation.name
        if not operation.writes:
            return _answer_of(operation, await self._carrier.read(task, after=after))
        result = await self._carrier.write(task, short=len(body) <= INLINE_BYTES)
        return _answer_of(operation, result, self._carrier.store.position())

    def _reading(
        self, call: _Call, match: Match, scope: Scope, access: projects.Access | None
    ) -> engine.Task[Any]:
        """Do with a request that has no body what comes before its read."""
        known = self._admitted(call, match.operations[0], access)
        return self._task(call, known, match, requests.query_of(scope), b"")[1]

    def _task(
        self,
        call: _Call,
        access: projects.Access,
        match: Match,
        query: list[tuple[str, str]],
        body: bytes,
    ) -> tuple[Operation, engine.Task[Any]]:
        """Read the request and prepare what it asks for; it takes long where the body is long."""
        operation = _meant(match, body)
        request = self._readers[operation.name].read(decoded(match.path), query, body)
        caller = Caller(
            project_id=access.project_id,
            immutable=access.immutable,
            request_id=call.request_id,
            idempotency_key=(
                requests.idempotency_key_of(call.headers) if operation.idempotent else None
            ),
            if_match=requests.if_match_of(call.headers) if operation.conditional else None,
        )
        return operation, self._handlers[operation.name](caller, request)

    def _opening(self, call: _Call) -> Question[projects.Access | None]:
        """Ask what the key opens. Keys are compared as hashes: their time tells nothing."""
        key = requests.bearer_of(call.headers)
        if key is None:
            raise _unauthorized("Send a valid API key: Authorization: Bearer <key>")
        digest = projects.hash_of(key)
        return Question(digest, lambda tx: self._opened(tx, digest))

    def _admitted(
        self, call: _Call, operation: Operation, access: projects.Access | None
    ) -> projects.Access:
        """Let in who has a key that opens the operation, as often as it may."""
        if access is None:
            raise _unauthorized("The API key is not valid")
        if call.limits is None or call.key_id != access.key_id:  # else it is done again
            call.limits, call.refusal = self._limiter.take(access.key_id)
        call.project_id, call.key_id = access.project_id, access.key_id
        if call.refusal is not None:
            raise call.refusal
        if operation.admin and not access.admin:
            raise Forbidden(
                "This needs a key with the admin scope; make one with `dialoguedb key create "
                "--admin`"
            )
        return access

    def _opened(self, tx: ReadTx, digest: bytes) -> projects.Access | None:
        door = self._door
        if door is not None and hmac.compare_digest(digest, door.key_hash):
            return projects.access_of_project(tx, door.project_id, _ENVIRONMENT)
        return projects.access(tx, digest)

    async def _send(self, call: _Call, answer: Answer, send: Any) -> None:
        head = [
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            (b"x-request-id", call.request_id.encode()),
            *(call.limits or self._limiter.idle()),
            *answer.headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": head})
        await send({"type": "http.response.body", "body": answer.body})

    def _note(self, call: _Call, answer: Answer, code: str, seconds: float) -> None:
        self._metrics.observe(call.operation, answer.status, seconds)
        if self._access_log is not None:
            self._access_log.add(
                logs.Access(
                    time=self._now_text(),
                    level="error" if answer.status >= 500 else "info",
                    message="request",
                    request_id=call.request_id,
                    method=call.method,
                    operation=call.operation,
                    status=answer.status,
                    milliseconds=round(seconds * 1000, 3),
                    code=code,
                    project_id=call.project_id,
                    key_id=call.key_id,
                )
            )


def _unauthorized(message: str) -> Unauthorized:
    return Unauthorized(message, headers={"WWW-Authenticate": "Bearer"})


def _answer_of(operation: Operation, result: Any, position: str | None = None) -> Answer:
    replayed = type(result) is Replayed
    return answers.of_result(
        result.answer if replayed else result,
        status=operation.status,
        field=operation.answer_field,
        versioned=operation.versioned,
        replayed=replayed,
        position=position,
    )


def _row(name: str) -> Operation:
    return next(row for row in OPERATIONS if row.name == name)


def _meant(match: Match, body: bytes) -> Operation:
    """Choose between operations that share a path by the form of the body (5.8, 5.9)."""
    one = match.operations[0]
    if len(match.operations) == 1:
        return one
    forms: Mapping[str, Operation] = {row.body: row for row in match.operations}
    if body.lstrip()[:1] == b"[":
        return forms["array"]
    if b'"messages"' in body:
        members = documents.value_of(
            body, levels=documents.MAX_NESTING + documents.ENVELOPE_NESTING
        )
        if (
            isinstance(members, dict)
            and "messages" in members
            and not (members.keys() & {"role", "content"})
        ):
            return forms["array"]
    return forms["object"]
