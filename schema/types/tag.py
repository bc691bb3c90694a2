"""What a workspace defines for itself: tags, and custom variables with a type."""

from __future__ import annotations

from enum import Enum

import strawberry

from schema.types.node import Node


@strawberry.type(description="A label for influencers.")
class Tag(Node):
    name: str = strawberry.field(description="The name, unique in the workspace whatever its case.")
    color: str | None = strawberry.field(default=None, description="A colour as #rrggbb.")
    deleted: strawberry.Private[bool] = False


@strawberry.enum(description="What a variable's values are.")
class VariableType(Enum):
    TEXT = strawberry.enum_value("TEXT", description="Any text.")
    NUMBER = strawberry.enum_value("NUMBER", description="A decimal number, such as -12.5.")
    DATE = strawberry.enum_value("DATE", description="A day, such as 2026-01-31.")
    BOOLEAN = strawberry.enum_value("BOOLEAN", description="true or false.")
    URL = strawberry.enum_value("URL", description="An http or https address.")


@strawberry.type(description="A custom variable: something a workspace wants to know of every influencer.")
class Variable(Node):
    name: str = strawberry.field(description="The name, unique in the workspace whatever its case.")
    type: VariableType = strawberry.field(description="What its values are.")
    deleted: strawberry.Private[bool] = False


@strawberry.type(description="The value of a custom variable for one influencer.")
class VariableValue:
    variable: Variable = strawberry.field(description="The variable.")
    value: str = strawberry.field(description="The value, written as the variable's type says.")
