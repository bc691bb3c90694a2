"""The README says what is so."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from connect_inbox.settings import settings_table
from schema.types.context import SCOPES
from schema.types.errors import ErrorCode

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_of_settings_is_the_codes() -> None:
    assert settings_table() in README


def test_every_promise_names_a_test_that_there_is() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", README)
    assert len(named) > 10
    for file, test in named:
        text = (ROOT / file).read_text()
        assert not test or re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), test


def test_every_error_code_and_scope_is_explained() -> None:
    for name in [*(code.value for code in ErrorCode), *SCOPES]:
        assert f"`{name}`" in README, name


def test_every_file_and_folder_that_is_named_is_there() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for path in re.findall(r"`((?:storage|resolvers|schema|sync|connect_inbox)/[\w./]+)`", README):
        assert any(file == path or file.startswith(path.rstrip("/") + "/") for file in files), path
