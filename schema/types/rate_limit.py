"""What is left of what a token may ask for."""

from __future__ import annotations

from datetime import datetime

import strawberry


@strawberry.type(
    description="What is left to the token of this request, in points: an operation costs ten, one for each object "
    "that its answer may hold, and one for each character of its document if that has not come lately."
)
class RateLimit:
    cost: int = strawberry.field(description="What this operation costs.")
    limit: int | None = strawberry.field(
        default=None,
        description="How many points there are at most; they come back within a minute. Null for no limit.",
    )
    remaining: int | None = strawberry.field(default=None, description="How many points are left. Null for no limit.")
    reset_at: datetime | None = strawberry.field(
        default=None, description="When all points are back, if none is used until then. Null for no limit."
    )
