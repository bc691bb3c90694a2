"""What `.ci/run` says where there is no second engine: that it was not tested, or that it failed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / ".ci" / "run"
BEFORE, AFTER = "second_engine() {", "\nstep()"


def second_engine(folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs that function alone, in a folder with a `make` that says which engine it was given."""
    function = BEFORE + RUN.read_text().partition(BEFORE)[2].partition(AFTER)[0]
    script = (
        f'set -euo pipefail\nmake() {{ echo "make $* on $MONGODB_URI"; }}\n{function}\nsecond_engine\necho passed\n'
    )
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main").mkdir()
    return tmp_path / "main"


def provide(folder: Path, script: str) -> None:
    up = folder.parent / "shared" / "mongo" / "up"
    up.parent.mkdir(parents=True)
    up.write_text(f"#!/bin/sh\n{script}\n")
    up.chmod(0o755)


def test_it_goes_on_where_there_is_none(folder: Path) -> None:
    done = second_engine(folder)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "passed")
    assert "NOT TESTED" in done.stdout


def test_it_fails_where_there_is_one_that_does_not_start(folder: Path) -> None:
    provide(folder, "exit 3")
    done = second_engine(folder)
    assert done.returncode != 0 and "passed" not in done.stdout
    assert "could not start" in done.stdout + done.stderr


def test_it_fails_where_it_cannot_be_run(folder: Path) -> None:
    provide(folder, "echo mongodb://127.0.0.1:1")
    (folder.parent / "shared" / "mongo" / "up").chmod(0o644)
    assert second_engine(folder).returncode != 0


def test_it_tests_on_the_one_that_starts(folder: Path) -> None:
    provide(folder, "echo mongodb://127.0.0.1:1")
    done = second_engine(folder)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["make test on mongodb://127.0.0.1:1", "passed"])
