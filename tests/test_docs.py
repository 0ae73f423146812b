"""The README: its commands exist, its tour runs, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import environment

from segcli.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "configs" / "README.md",
    ROOT / "examples" / "README.md",
    ROOT / "examples" / "benchmarks" / "README.md",
]


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def known_options() -> dict[str, set[str]]:
    """Options by command, as Typer knows them."""
    from typer.main import get_command

    root = get_command(app)
    found: dict[str, set[str]] = {}

    def visit(command, name: str) -> None:
        for child_name, child in getattr(command, "commands", {}).items():
            visit(child, f"{name} {child_name}".strip())
        options = {"-h", "--help"}
        for parameter in command.params:
            options |= {*parameter.opts, *parameter.secondary_opts}
        found[name] = options

    visit(root, "")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_and_options_exist(page):
    """Every `segcli …` in the docs names a real command with real options."""
    options = known_options()
    calls = re.findall(
        r"(?:^|[|`(] ?)segcli ((?:[^|`\n#>;)]|\\\n)+)", page.read_text(), re.MULTILINE
    )
    for call in calls:
        words = [w for w in call.split() if w != "\\"]
        name = words[0] if not words[0].startswith("-") else ""
        if f"{name} {' '.join(words[1:2])}".strip() in options:
            name = f"{name} {' '.join(words[1:2])}".strip()
        assert name in options, call
        for word in words:
            if word.startswith("-") and len(word) > 1:
                assert word.split("=")[0] in options[name], f"{word} in: segcli {call}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Every relative link of the docs is a file of the project."""
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_every_make_target_of_the_readme_exists():
    """Make targets named in the README are in the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_tour_runs_as_written(tmp_path):
    """The 60-second tour, line by line; only the grid is thinned to spare the machine."""
    text = (ROOT / "README.md").read_text()
    (tour,) = code_blocks(text[text.index("## A tour") :], "bash")[:1]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "segcli"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m segcli "$@"\n')
    command.chmod(0o755)
    environ = environment(SEGCLI_POINTS_PER_SIDE="8")
    environ["PATH"] = f"{folder}:{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", tour],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "overlay").glob("*.png"))) == 8
    assert "f1_50" in done.stdout
    assert "8 of 8 pictures are done already" in done.stderr
    assert "gate" in done.stderr
