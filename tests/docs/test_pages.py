"""What README and docs say of the code: links, commands, parameter counts and deviations."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import mnemon
from doc_pages import ROOT, blocks, links, name, pages
from mnemon.cli import main
from mnemon.data import NAMED
from mnemon.recipes import RECIPES, count_parameters, recipe

SOURCES = Path(mnemon.__file__).parent
COUNT = re.compile(r"^\| `([\w-]+)` \|.*?\| ([\d,]{7,}) \|", re.MULTILINE)
every_page = pytest.mark.parametrize("page", pages(), ids=name)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each `mnemon ...` line of a shell block, with the page it stands on."""
    for page in pages():
        for block in blocks(page, "sh"):
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["mnemon"]:
                    yield name(page), words[1:]


def deviating() -> Iterator[str]:
    """Names of the classes and functions whose docstring has a `Deviation:`, or says that something is one."""
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and "Deviation" in (ast.get_docstring(node) or ""):
                yield node.name


@every_page
def test_links_lead_to_files(page: Path) -> None:
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


@every_page
def test_nothing_is_said_of_one_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:home|tmp|root|work|Users)/\S*", page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", NAMED)
def test_the_page_on_data_tells_licence_and_checks(name: str) -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 2
    assert f"| {NAMED[name].licence} |" in rows[0]
    assert f"`--data {name}:" in rows[0]
    assert ("`--download`" in rows[0]) == (NAMED[name].fetch is not None)


def test_index_names_every_page() -> None:
    if not (ROOT / "docs").is_dir():
        pytest.skip("the documentation is not beside the tests")
    listed = set(links(ROOT / "docs" / "index.md"))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= listed


@pytest.mark.parametrize(("page", "words"), list(commands()), ids=lambda value: " ".join(value)[:60])
def test_commands_have_the_flags_they_are_shown_with(
    page: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    named = words[0] in ("train", "params") and words[1:] and words[1] in RECIPES
    named = named or (words[0] in ("finetune", "remember", "ask") and words[1] != "--resume")
    before = words[:2] if named or words[0] in ("bench", "data", "memory") else words[:1]
    assert main([*before, "--help"]) == 0
    known = set(re.findall(r"--[\w.-]+", capsys.readouterr().out)) | {"--resume", "--version"}
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert flags <= known, page


@every_page
def test_parameter_counts_are_those_of_the_recipes(page: Path) -> None:
    wrong = {}
    for recipe_name, said in COUNT.findall(page.read_text(encoding="utf-8")):
        config = recipe(recipe_name)
        vocabulary = config.model.vocab_size or config.data.vocab_size
        total = count_parameters(config.model.replace(vocab_size=vocabulary)).total
        if said != f"{total:,}":
            wrong[recipe_name] = f"{total:,}"
    assert wrong == {}


@pytest.mark.parametrize("deviation", sorted(set(deviating())))
def test_every_deviation_is_told(deviation: str) -> None:
    told = [page for page in pages() if page.parent.name == "docs"]
    if not told:
        pytest.skip("the documentation is not beside the tests")
    wanted = {deviation, deviation.replace("_", "-")}  # a recipe's function has underscores, its name has dashes
    assert [page for page in told if any(f"`{word}`" in page.read_text(encoding="utf-8") for word in wanted)]
