"""Connections with keyset cursors: a page goes on behind the last row seen, whatever has changed before it."""

from __future__ import annotations

from typing import Generic, TypeVar

import strawberry

from schema.types.errors import bad_input

MOST = 100
T = TypeVar("T")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether rows follow the last one of this page.")
    has_previous_page: bool = strawberry.field(description="Whether rows precede the first one of this page.")
    start_cursor: str | None = strawberry.field(default=None, description="The cursor of the first row.")
    end_cursor: str | None = strawberry.field(default=None, description="The cursor of the last row.")


@strawberry.type(description="A row of a list.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(
        description="The row's place. Cursors of one list compare, as strings, as the list is ordered."
    )
    node: T = strawberry.field(description="The object in this row.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="The rows with their cursors.")
    page_info: PageInfo = strawberry.field(description="Where this page lies in the list.")
    position: str = strawberry.field(
        description="The log position at which the list was read (of later pages: at which the first page was). "
        "Everything up to it is in the page, so a subscription with `since` set to it misses nothing."
    )

    @strawberry.field(description="The objects without their cursors.")
    def nodes(self) -> list[T]:
        return [edge.node for edge in self.edges]


def page_size(first: int | None, name: str = "first") -> int:
    """A page's size as asked for. Raises BAD_USER_INPUT outside of 0 to 100."""
    if first is None:
        return 25
    if not 0 <= first <= MOST:
        raise bad_input(f"{name} must be between 0 and {MOST}, not {first}")
    return first


def page_info(edges: list[Edge[T]], *, more_before: bool, more_after: bool) -> PageInfo:
    return PageInfo(
        has_next_page=more_after,
        has_previous_page=more_before,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
