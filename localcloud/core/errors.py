"""Errors as Google's APIs put them on the wire: one class, and one function per kind."""

from __future__ import annotations

from typing import Any, Literal

Json = dict[str, Any]
Style = Literal["compute", "storage", "rpc"]

# Codes that the HTTP status does not determine.
_STATUS_BY_REASON = {"failedPrecondition": "FAILED_PRECONDITION", "aborted": "ABORTED"}
_DOMAINS = {"accessNotConfigured": "usageLimits"}
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    416: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class ApiError(Exception):
    """A call that ends with an HTTP error status and a JSON body in Google's shape.

    `reason` is the machine-readable word of the old error list ("notFound"); `extra` is merged into the "error"
    object ("details" of newer APIs, for instance).
    """

    def __init__(self, status: int, reason: str, message: str, extra: Json | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.extra: Json = dict(extra or {})

    def response_json(self, style: Style = "compute") -> Json:
        """Return the body: "storage" has no `status`, "rpc" (the newer APIs) has no `errors`, "compute" has both."""
        error: Json = {"code": self.status, "message": self.message}
        if style != "rpc":
            domain = _DOMAINS.get(self.reason, "global")
            error["errors"] = [{"message": self.message, "domain": domain, "reason": self.reason}]
        status = _STATUS_BY_REASON.get(self.reason) or _STATUS_NAMES.get(self.status)
        if style != "storage" and status is not None:
            error["status"] = status
        return {"error": error | self.extra}


def invalid(message: str, reason: str = "invalid") -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, reason, message)


def required(message: str) -> ApiError:
    """400: a required value is missing."""
    return ApiError(400, "required", message)


def unauthenticated(message: str, cause: str) -> ApiError:
    """401: there is no token, or an unknown one. `cause` is Google's word for it ("CREDENTIALS_MISSING")."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": cause, "domain": "googleapis.com"}
    return ApiError(401, "authError", message, {"details": [info]})


def forbidden(message: str, reason: str = "forbidden") -> ApiError:
    """403: the caller lacks a permission."""
    return ApiError(403, reason, message)


def not_found(message: str) -> ApiError:
    """404: the resource does not exist."""
    return ApiError(404, "notFound", message)


def already_exists(message: str) -> ApiError:
    """409: the name is taken."""
    return ApiError(409, "alreadyExists", message)


def aborted(message: str) -> ApiError:
    """409 of the newer APIs: the resource has changed in the meantime; read it again and retry."""
    return ApiError(409, "aborted", message)


def failed_precondition(message: str) -> ApiError:
    """400 of the newer APIs: the resource's state or etag does not allow the call."""
    return ApiError(400, "failedPrecondition", message)


def precondition_failed(message: str) -> ApiError:
    """412: a generation, fingerprint or similar given by the caller does not match."""
    return ApiError(412, "conditionNotMet", message)


def unimplemented(message: str) -> ApiError:
    """501: Google has this method and localcloud does not."""
    return ApiError(501, "notImplemented", message)


def internal(message: str) -> ApiError:
    """500: a bug of localcloud's own."""
    return ApiError(500, "internalError", message)
