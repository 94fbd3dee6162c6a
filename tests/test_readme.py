"""Every snippet of the README runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
RANDOM_ROWS = re.compile(r"(?<=standard_normal\(\()\d+(_\d+)?")


def test_there_are_seventeen_snippets():
    assert len(SNIPPETS) == 17


def run_snippet(number):
    """Run a snippet, on a tenth of the rows that it draws at random; returns its names."""
    names = {"__name__": "snippet"}
    smaller = RANDOM_ROWS.sub(lambda rows: str(int(rows[0]) // 10), SNIPPETS[number])
    exec(compile(smaller, f"README.md, snippet {number}", "exec"), names)
    return names


def test_the_first_snippet_keeps_its_word():
    names = run_snippet(0)
    assert names["model"].score(names["X"][names["test"]], names["images"].target[names["test"]]) > 0.83


@pytest.mark.parametrize("number", range(1, 17))
def test_snippet_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    run_snippet(number)


def test_every_local_link_leads_somewhere():
    for page in (ROOT / "README.md", ROOT / "examples/README.md", ROOT / "benchmarks/README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
