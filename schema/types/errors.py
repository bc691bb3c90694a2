"""Everything that can go wrong, by name. Clients act on the code; the message is for people."""

from __future__ import annotations

from enum import Enum

import strawberry


class ErrorCode(Enum):
    """`extensions.code` of a top-level error."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    CONFLICT = "CONFLICT"
    RATE_LIMITED = "RATE_LIMITED"
    RESYNC_REQUIRED = "RESYNC_REQUIRED"
    TOO_COMPLEX = "TOO_COMPLEX"
    TIMED_OUT = "TIMED_OUT"
    INTERNAL = "INTERNAL"


class ApiError(Exception):
    """An error that the client is told, as it stands. Anything else that is raised is masked."""

    def __init__(self, code: ErrorCode, message: str, **extensions: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.extensions = extensions  # what the client is told beside the code


def bad_input(message: str) -> ApiError:
    return ApiError(ErrorCode.BAD_USER_INPUT, message)


def forbidden(message: str) -> ApiError:
    return ApiError(ErrorCode.FORBIDDEN, message)


def not_found(id: str) -> ApiError:
    """The same for an id that never existed and for one of another workspace."""
    return ApiError(ErrorCode.NOT_FOUND, f"there is no object with the id {id!r}")


def conflict(message: str) -> ApiError:
    return ApiError(ErrorCode.CONFLICT, message)


def too_complex(message: str) -> ApiError:
    return ApiError(ErrorCode.TOO_COMPLEX, message)


def resync_required(why: str) -> ApiError:
    return ApiError(ErrorCode.RESYNC_REQUIRED, f"{why}; read everything anew and go on from its position")


@strawberry.enum(description="Why a mutation was refused.")
class UserErrorCode(Enum):
    BLANK = strawberry.enum_value("BLANK", description="A value that must be given is empty.")
    INVALID = strawberry.enum_value("INVALID", description="A value is not of the form it must have.")
    TOO_LONG = strawberry.enum_value("TOO_LONG", description="A text or a list is longer than allowed.")
    TAKEN = strawberry.enum_value("TAKEN", description="Another object of the workspace already has this value.")
    MAILBOX_REQUIRED = strawberry.enum_value(
        "MAILBOX_REQUIRED", description="E-mail needs a connected mailbox, and there is none."
    )
    ADDRESS_REQUIRED = strawberry.enum_value("ADDRESS_REQUIRED", description="The influencer has no e-mail address.")
    NOT_ALLOWED = strawberry.enum_value("NOT_ALLOWED", description="The caller may not use or manage this mailbox.")
    NEEDS_RECONNECT = strawberry.enum_value(
        "NEEDS_RECONNECT", description="The mailbox must be connected anew before anything can be sent from it."
    )
    HOST_FAILED = strawberry.enum_value("HOST_FAILED", description="The mail server cannot be reached, or may not be.")
    TLS_FAILED = strawberry.enum_value(
        "TLS_FAILED", description="The connection to the mail server cannot be made secret."
    )
    LOGIN_FAILED = strawberry.enum_value("LOGIN_FAILED", description="The mail server refused the password.")
    PERMISSION_FAILED = strawberry.enum_value(
        "PERMISSION_FAILED", description="The mail server let us in, and does not allow what is needed."
    )
    SERVER_FAILED = strawberry.enum_value(
        "SERVER_FAILED", description="The mail server did not do what it was asked for; it may later."
    )
    ACCOUNT_REQUIRED = strawberry.enum_value(
        "ACCOUNT_REQUIRED", description="Only influencers with a platform account can be given this."
    )
    LAST_ADMIN = strawberry.enum_value("LAST_ADMIN", description="A workspace keeps at least one ADMIN.")
    LIMIT_REACHED = strawberry.enum_value("LIMIT_REACHED", description="The workspace has as many as it may have.")


@strawberry.type(description="Why a mutation was refused, and which part of its input is the reason.")
class UserError:
    code: UserErrorCode = strawberry.field(description="The reason, for programs.")
    message: str = strawberry.field(description="The reason, for people.")
    field: list[str] | None = strawberry.field(
        default=None, description="The path to the value in `input`, where one value is the reason."
    )


class Refused(Exception):
    """Raised anywhere below a mutation; becomes its payload's `userErrors`, and nothing is changed."""

    def __init__(self, code: UserErrorCode, message: str, *field: str) -> None:
        super().__init__(message)
        self.error = UserError(code=code, message=message, field=list(field) or None)
