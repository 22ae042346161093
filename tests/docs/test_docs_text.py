"""What the documentation names is there, and what the code decides stands in it as the code has it."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from fastapi.testclient import TestClient

from docs.scripts.tables import filled, named_commands
from service.main import create_app
from service.settings import Settings
from service.terminal.cli import app as command_line
from tests.described import described
from tests.docs.blocks import DOCS, FOR_AGENTS, PAGES, README, ROOT
from tests.pages import read

README_LINES = 150
PACKAGES = ("service", "worker", "usual_suspects", "tests", "benchmarks", "docs")
NAMES = PACKAGES[:3]
# Read by other programs than the service and its workers.
ELSEWHERE = {"SUSPECTS_URL", "SUSPECTS_KEY", "SUSPECTS_MCP_TOKEN"}


def ids(page: Path) -> str:
    return page.name


def defined(name: str) -> bool:
    """Whether a dotted name is a module of the tree, or stands at the top of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:length])
        file = next((one for one in (place.with_suffix(".py"), place / "__init__.py") if one.exists()), None)
        if file is not None:
            return length == len(parts) or (length == len(parts) - 1 and parts[-1] in top_level(file))
    return False


def top_level(file: Path) -> set[str]:
    """Names that a module defines or imports."""
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.Assign():
                found |= {one.id for one in node.targets if isinstance(one, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Import() | ast.ImportFrom():
                found |= {one.asname or one.name for one in node.names}
            case _:
                pass
    return found


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_paths_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(rf"(?<![\w./-])((?:{'|'.join(PACKAGES)})/[\w./-]*[\w/])", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_python_names_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(rf"(?<![\w./-])((?:{'|'.join(NAMES)})(?:\.[A-Za-z_]\w*)+)", page.read_text(encoding="utf-8"))
    assert [name for name in named if not defined(name)] == []


def test_routes_that_pages_name_exist() -> None:
    routes = {f"{method.upper()} {bare(path)}" for path, methods in described()["paths"].items() for method in methods}
    for page in PAGES:
        named = re.findall(r"\b(?:GET|POST|PUT|DELETE) /[\w{}/-]*", page.read_text(encoding="utf-8"))
        of_tools = [route for route in named if " /api/" in route]  # those of a labelling tool
        assert {bare(route) for route in named if route not in of_tools} <= routes, page.name


def bare(route: str) -> str:
    """A route whose parameters have no names."""
    return re.sub(r"\{[^}]*\}", "{}", route)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_that_a_page_names_exist(page: Path) -> None:
    known = {name.partition(" ")[0] for name, _ in named_commands(typer.main.get_command(command_line))}
    named = re.findall(r"(?:^|[`(]|\| )suspects ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= known


def test_the_text_for_agents_links_what_is_served_without_a_key(settings: Settings) -> None:
    kept = settings.model_copy(update={"api_keys": ["a-key"]})
    with TestClient(create_app(kept), base_url="http://127.0.0.1") as client:
        answer = client.get("/llms.txt")
        assert (answer.text, answer.headers["content-type"]) == (
            FOR_AGENTS.read_text(encoding="utf-8"),
            "text/plain; charset=utf-8",
        )
        title, quote = answer.text.split("\n\n")[:2]
        assert (title, quote[:2]) == ("# Usual Suspects", "> ")
        links = re.findall(r"\]\(([^)]*)\)", answer.text)
        assert {"/openapi.json", "/docs"} <= set(links)
        assert all(client.get(link).status_code in (200, 503) for link in links)
        open_to_all = re.search(r"This text, (.*) need no key", answer.text)
        assert open_to_all is not None
        assert all(client.get(path).status_code in (200, 503) for path in re.findall(r"`(/\S*)`", open_to_all[1]))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    known = {f"SUSPECTS_{name.upper()}" for name in Settings.model_fields} | ELSEWHERE
    assert set(re.findall(r"\bSUSPECTS_[A-Z_]+\b", page.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=ids)
def test_targets_of_make_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^\s*|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_tables_stand_in_a_page_as_the_code_has_them(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "python -m docs.scripts.tables, or make format, writes them anew"


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= README_LINES
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert len(links) > len(list(DOCS.glob("*.md"))) / 2
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_pages_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run([zensical, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").glob("*.html"))
    assert len(pages) > len(list(DOCS.glob("*.md")))  # and 404.html
    for page in pages:
        loaded = [
            attributes.get("src") or attributes.get("href") or ""
            for tag, attributes in read(page.read_text(encoding="utf-8")).elements
            if tag in ("script", "img", "iframe") or (tag == "link" and attributes.get("rel") == "stylesheet")
        ]
        assert [address for address in loaded if re.match(r"(https?:)?//", address)] == []
