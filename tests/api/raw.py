"""What no client would send: requests as they stand, and examples of what may come."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import Brand
from tests.client import Json

OK = '{"query":"{ viewer { id } }"}'
JSON = "application/json"
RESPONSE = "application/graphql-response+json"


async def send(brand: Brand, body: str | bytes, **headers: str | bytes | None) -> tuple[int, Json]:
    """The status and the answer to a body. Headers have `_` for `-`; None leaves one out."""
    given = {"authorization": f"Bearer {brand.member.token}", "content_type": JSON, **headers}
    named = {name.replace("_", "-"): value for name, value in given.items() if value is not None}
    headers_sent = {
        name.encode(): value if isinstance(value, bytes) else value.encode() for name, value in named.items()
    }
    response = await brand.server.http.post(
        brand.server.url, content=body.encode() if isinstance(body, str) else body, headers=headers_sent
    )
    answer: Json = response.json()
    return response.status_code, answer


def is_told(answer: Json, code: str = "BAD_USER_INPUT") -> bool:
    """Whether an answer is nothing but errors of that code, each with a message that people can read."""
    errors = answer["errors"]
    assert errors and "data" not in answer, answer
    assert all(0 < len(error["message"]) < 300 and "Traceback" not in error["message"] for error in errors), errors
    return all(error["extensions"] == {"code": code} for error in errors)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def collected(strategy: st.SearchStrategy[bytes], count: int) -> list[bytes]:
    """Examples, the same in every run; those that matter would be written down as cases of their own."""
    found: list[bytes] = []

    @settings(max_examples=count, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(example: bytes) -> None:
        found.append(example)

    collect()
    return found
