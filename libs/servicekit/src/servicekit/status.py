"""The one table of refusals: each stable code with its HTTP and gRPC status (api.md)."""

from __future__ import annotations

from dataclasses import dataclass

import grpc


@dataclass(frozen=True, slots=True)
class Refusal:
    """How one code looks on the wire."""

    http: int
    grpc: grpc.StatusCode
    title: str


REFUSALS: dict[str, Refusal] = {
    "invalid_request": Refusal(400, grpc.StatusCode.INVALID_ARGUMENT, "Invalid request"),
    "model_ambiguous": Refusal(400, grpc.StatusCode.INVALID_ARGUMENT, "Model ambiguous"),
    "unauthorized": Refusal(401, grpc.StatusCode.UNAUTHENTICATED, "Unauthorized"),
    "forbidden": Refusal(403, grpc.StatusCode.PERMISSION_DENIED, "Forbidden"),
    "runtime_not_found": Refusal(404, grpc.StatusCode.NOT_FOUND, "Runtime not found"),
    "model_not_found": Refusal(404, grpc.StatusCode.NOT_FOUND, "Model not found"),
    "task_not_found": Refusal(404, grpc.StatusCode.NOT_FOUND, "Task not found"),
    "request_not_kept": Refusal(404, grpc.StatusCode.NOT_FOUND, "Request not kept"),
    "webhook_not_found": Refusal(404, grpc.StatusCode.NOT_FOUND, "Webhook not found"),
    "not_found": Refusal(404, grpc.StatusCode.NOT_FOUND, "Not found"),
    "method_not_allowed": Refusal(405, grpc.StatusCode.UNIMPLEMENTED, "Method not allowed"),
    "idempotency_conflict": Refusal(
        409, grpc.StatusCode.FAILED_PRECONDITION, "Idempotency conflict"
    ),
    "already_finished": Refusal(409, grpc.StatusCode.FAILED_PRECONDITION, "Already finished"),
    "webhook_ended": Refusal(409, grpc.StatusCode.FAILED_PRECONDITION, "Webhook ended"),
    "webhook_limit": Refusal(409, grpc.StatusCode.FAILED_PRECONDITION, "Too many webhooks"),
    "payload_too_large": Refusal(413, grpc.StatusCode.OUT_OF_RANGE, "Payload too large"),
    "unsupported_media_type": Refusal(
        415, grpc.StatusCode.INVALID_ARGUMENT, "Unsupported media type"
    ),
    "throttled": Refusal(429, grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests"),
    "quota_exceeded": Refusal(429, grpc.StatusCode.RESOURCE_EXHAUSTED, "Quota exceeded"),
    "unavailable": Refusal(503, grpc.StatusCode.UNAVAILABLE, "Service unavailable"),
    "task_failed": Refusal(422, grpc.StatusCode.FAILED_PRECONDITION, "Task failed"),
    "still_running": Refusal(504, grpc.StatusCode.DEADLINE_EXCEEDED, "Still running"),
    "internal": Refusal(500, grpc.StatusCode.INTERNAL, "Internal error"),
}
