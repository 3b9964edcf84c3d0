"""The documents are true: what they say runs, and a type checker has nothing to say of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import new_site, url

TOP = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = {
    "clients/python/README.md": ["A-1 2 dock 2", "2", "A-1 + 3", "bill Sold(sku='A-1', qty=1)", "2"],
    "docs/how-to/python.md": ["mail to who ordered 17"],
}


@pytest.mark.parametrize("document", PRINTED)
def test_what_a_document_says_to_run_runs(document: str, tmp_path: Path) -> None:
    blocks = BLOCK.findall((TOP / document).read_text())
    assert len(blocks) > 3
    script = tmp_path / "document.py"
    with new_site("shop"):
        script.write_text("\n".join(blocks).replace("postgresql+psycopg:///shop", url("shop")))
        done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    for line in PRINTED[document]:
        assert line in printed
        printed = printed[printed.index(line) + 1 :]


@pytest.mark.parametrize("document", PRINTED)
def test_what_a_document_says_is_typed(document: str, tmp_path: Path) -> None:
    script = tmp_path / "document.py"
    script.write_text("\n".join(BLOCK.findall((TOP / document).read_text())))
    cache = Path(sys.prefix) / "mypy"
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, script],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert checked.returncode == 0, checked.stdout
