"""What holds for the project as a whole: its files, its locks, its layers."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("connect_inbox", "schema", "resolvers", "sync", "storage")
LOCKS = ("requirements.txt", "requirements-dev.txt")
MAX_LINES = 500

# In pieces, so that this file does not match.
REGISTRY_TRACES = [
    "pypi" + ".org",
    "files.python" + "hosted.org",
    "registry.npm" + "js.org",
    "deb.debian" + ".org",
    "--index" + "-url",
    "--extra-index" + "-url",
    "--find" + "-links",
    "file://" + "/opt",
]
RESOLVED = '"resolved' + '":'


def project_files() -> list[Path]:
    """What git tracks, and what it would: new files that it does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def locked(lock: str) -> dict[str, list[str]]:
    """Each requirement of a lock file, as `name==version`, with its hashes."""
    requirements: dict[str, list[str]] = {}
    lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            requirements[line.split()[0]] = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
    return requirements


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_no_file_names_a_registry() -> None:
    found = []
    for path in project_files():
        text = path.read_text(errors="replace")
        traces = REGISTRY_TRACES + [RESOLVED] * (path.name == "package-lock.json")
        found += [f"{path.relative_to(ROOT)}: {trace}" for trace in traces if trace in text]
    assert not found


@pytest.mark.parametrize("lock", [*LOCKS, "tests/schemathesis/requirements.txt", "tests/oldest/requirements.txt"])
def test_every_locked_requirement_has_a_version_and_hashes(lock: str) -> None:
    requirements = locked(lock)
    assert requirements
    assert not [name for name, hashes in requirements.items() if "==" not in name or not hashes]


def test_locks_hold_the_build_backend() -> None:
    for lock in LOCKS:
        assert any(name.startswith("hatchling==") for name in locked(lock)), lock


def test_development_lock_holds_the_run_time_versions() -> None:
    run_time, development = (locked(lock) for lock in LOCKS)
    assert run_time.keys() <= development.keys()


def test_layers_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_imap_modules_import_aioimaplib() -> None:
    users = {path.relative_to(ROOT) for path in sources() if "aioimaplib" in imported(path)}
    assert not [str(path) for path in users if not path.match("sync/imap*.py")]


def test_no_source_file_is_too_long() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in sources()}
    assert not {str(path): lines for path, lines in lengths.items() if lines > MAX_LINES}
