"""Pages and code agree: cited pages exist, links lead somewhere, every public path on a page works.

What a page promises is collected from its code blocks and code spans, and tried: imports, dotted names and
settings in a fresh interpreter, `python -m`, `celery -A`, `make`, `queue-or-task` and its options.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import re
import shlex
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import click
import pytest
from celery.bin.celery import celery as celery_program

from bench.cli.commands import main
from celery_impl.sidekiq.cli import sidekiq

ROOT = Path(__file__).parent.parent
ROOMS = "scenarios|inprocess|celery_impl|bench|reports"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*") if path.suffix in {".py", ".toml"})
#: Pages that the programs write, and that no folder of the repository holds.
WRITTEN = {"summary.md", "short.md"}
#: What pages outside the repository were called.
RETIRED = re.compile(r"\b(METHOD|FAULTS|SEMANTICS|DESIGN|LAYOUT|STYLE|POOLS|JOURNAL)\b(?!\[|\.(?!md\b))")
#: Text files in which a page may be cited; CHANGELOG.md tells of what was.
CITING = {".py", ".md", ".toml", ".txt", ".j2", ".js", ""}

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
IMPORT = re.compile(rf"\bfrom ((?:{ROOMS})[\w.]*) import (\([^)]*\)|[^\n#]*)")
DOTTED = re.compile(rf"(?<![\w./\"-])((?:{ROOMS})(?:\.[A-Za-z_]\w*)+)(?::(\w+))?(?![\w/*-])")
PATH = re.compile(rf"^(?:(?:{ROOMS}|docs|tests|examples|\.ci)/[\w./*-]*|[A-Z][A-Z]+\.md|Makefile|\w+\.toml)$")
#: A command line, after a prompt, a path or a variable: the program, and the rest.
COMMAND = re.compile(
    r"(?:(?:^|\$ |bin/|settings |^# )(?=queue)|celery -A \w+ (?=sidekiq))(queue-or-task|sidekiq) ([^\n]*)",
    re.MULTILINE,
)
PAGE_CITED = re.compile(r"(?<![\w*.{/-])((?:\.\./)*(?:[\w-]+/)*[\w-]+\.md)\b")

#: Tries names in a fresh interpreter and prints those that do not work.
PROBE = """
import importlib, json, sys

def found(path, attribute=""):
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if not ".".join(parts[:length]).startswith(error.name or " "):
                raise
            continue
        for name in (*parts[length:], *filter(None, [attribute])):
            thing = getattr(thing, name)
        return thing
    raise ModuleNotFoundError(path)

from celery import Celery
from kombu import Connection
from celery_impl.sidekiq import Sidekiq
wrong = []
for kind, path, attribute in json.load(sys.stdin):
    try:
        if kind == "transport":
            importlib.import_module("inprocess.celery")
            if path.startswith("lease+"):
                Sidekiq(Celery("page", broker=f"{path}:///tmp/page"))
            Connection(f"{path}:///tmp/page").get_transport_cls()
        elif kind == "import":
            found(f"{path}.{attribute}")
        else:
            found(path, attribute)
    except Exception as error:
        wrong.append([kind, path, attribute, f"{type(error).__name__}: {error}"])
json.dump(wrong, sys.stdout)
"""


@cache
def tracked() -> list[Path]:
    command = ["git", "ls-files"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def code_of(text: str) -> list[str]:
    """Every code block and every code span of a page."""
    spans = [" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", text))]
    return [block for _, _, block in FENCE.findall(text)] + spans


def prose_of(text: str) -> str:
    """A page without its code."""
    return SPAN.sub("", FENCE.sub("", text))


def slug(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower().strip()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(text: str) -> set[str]:
    seen: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        name = slug(heading)
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


# What is wrong, as text; nothing where all is well.


def dead_links(text: str, folder: Path) -> Iterator[str]:
    for target in LINK.findall(prose_of(text)):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (folder / name).resolve() if name else None
        if path is not None and not path.exists():
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors(path.read_text() if path else text):
            yield f"{target}: no such heading"


def dangling_pages(text: str, folder: Path) -> Iterator[str]:
    for name in PAGE_CITED.findall(text):
        if name not in WRITTEN and not any((base / name).exists() for base in (ROOT, folder, ROOT / "docs")):
            yield name


def retired_names(source: str) -> Iterator[str]:
    """Pages outside the repository that comments and strings of a Python file name."""
    if not RETIRED.search(source):
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in {tokenize.COMMENT, tokenize.STRING}:
            yield from (f"line {token.start[0]}: {found[0]}" for found in RETIRED.finditer(token.string))


def names_in(code: str) -> Iterator[tuple[str, str, str]]:
    """(kind, path, attribute) of each of our names in a piece of code."""
    for module, imported in IMPORT.findall(code):
        named = (part.partition(" as ")[0].strip(" ()\n") for part in imported.split(","))
        yield from (("import", module, name) for name in named if name)
    for path, attribute in DOTTED.findall(IMPORT.sub("", code)):
        yield "name", path.removesuffix(".py"), attribute
    for scheme in re.findall(r"\b(lease\+\w+|inprocess)://", code):
        yield "transport", scheme, ""


@cache
def tried() -> dict[tuple[str, str, str], str]:
    """Each name on a page, in an example or among LIES, and what a fresh interpreter says against it.

    One interpreter tries them all, since most of the time goes into importing what they share.
    """
    pages = [code for page in PAGES for code in code_of(page.read_text())]
    lies = [code for lie in LIES for code in code_of(lie)]
    examples = [file.read_text() for file in EXAMPLES if file.suffix == ".py"]
    asked = sorted({name for code in (*pages, *lies, *examples) for name in names_in(code)})
    probed = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=ROOT,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert probed.returncode == 0, probed.stderr
    wrong = {(kind, path, attribute): why for kind, path, attribute, why in json.loads(probed.stdout)}
    return {name: wrong.get(name, "") for name in asked}


def unimportable(codes: list[str]) -> list[str]:
    """The names in these pieces of code that do not work."""
    names = sorted({name for code in codes for name in names_in(code)})
    return [" ".join((*name, tried()[name])) for name in names if tried()[name]]


def lacking_paths(codes: list[str]) -> Iterator[str]:
    names = {path.name for path in tracked()}
    for code in codes:
        if PATH.match(code) and not any(ROOT.glob(code.rstrip("/"))) and code not in names:
            yield f"{code}: no such path"


def lacking_modules(codes: list[str]) -> Iterator[str]:
    """`python -m MODULE` of ours."""
    for code in codes:
        for module in re.findall(rf"-m ((?:{ROOMS})[\w.]*)", code):
            spec = importlib.util.find_spec(module)
            if spec is None or (
                spec.submodule_search_locations and not importlib.util.find_spec(f"{module}.__main__")
            ):
                yield f"python -m {module}: no such program"


def lacking_targets(codes: list[str], makefile: str) -> Iterator[str]:
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for code in codes:
        for words in re.findall(r"(?:^|\$ |^ +)make ((?:[a-z-]+ ?)+)", code, re.MULTILINE):
            yield from (f"make {word}: no such target" for word in words.split() if word not in targets)


def lacking_apps(codes: list[str], own: set[str]) -> Iterator[str]:
    """`celery -A APP`, `--app APP` and `app = "APP"`: ours, an example's, or made by the page."""
    for code in codes:
        for app in re.findall(r"(?:-A |--app |^app = \")([\w.:]+)", code, re.MULTILINE):
            module = app.partition(":")[0]
            folder = module.replace(".", "/")
            there = [*ROOT.glob(f"examples/*/{folder}.py"), *ROOT.glob(f"examples/*/{folder}/__init__.py")]
            if not (there or module in own or (re.match(ROOMS, module) and importlib.util.find_spec(module))):
                yield f"{app}: no such app"


def lacking_tasks(codes: list[str]) -> Iterator[str]:
    """`--task NAME` on a command line: a function of an example."""
    for code in codes:
        for module, task in re.findall(r"--task ([a-z_.]+)\.([a-z_]+)", code):
            files = ROOT.glob(f"examples/*/{module.replace('.', '/')}.py")
            if not any(re.search(rf"^def {task}\(", file.read_text(), re.MULTILINE) for file in files):
                yield f"{module}.{task}: no such task"


def options_of(command: click.Command) -> set[str]:
    mine = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return mine | set(command.context_settings.get("help_option_names", ["--help"])) | {"--help"}


def lacking_commands(codes: list[str]) -> Iterator[str]:
    """Command lines of `queue-or-task` and `celery sidekiq`: the command is there, so is each option."""
    programs: dict[str, click.Group] = {"queue-or-task": main, "sidekiq": sidekiq}
    for code in codes:
        joined = re.sub(r" *\\\n *", " ", code)
        for program, rest in COMMAND.findall(joined):
            words = shlex.split(rest.partition("#")[0].replace("'s", ""), posix=True)
            if not words:
                continue
            command = programs[program].commands.get(words[0])
            if command is None:
                yield f"{program} {words[0]}: no such command"
                continue
            known = options_of(command)
            for word in words[1:]:  # a group's commands
                if isinstance(command, click.Group) and word in command.commands:
                    command = command.commands[word]
                    known |= options_of(command)
            options = [word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)]
            yield from (
                f"{program} {words[0]} {option}: no such option" for option in options if option not in known
            )


def lacking_options(codes: list[str]) -> Iterator[str]:
    """A code span that is an option alone: some command of ours has it, or one of Celery's."""
    groups = [main, sidekiq, celery_program]
    groups += [command for command in main.commands.values() if isinstance(command, click.Group)]
    commands = [command for group in groups for command in group.commands.values()]
    known = set[str]().union(*map(options_of, commands))
    for code in codes:
        if (option := re.match(r"(--[a-z-]+)", code)) and option[1] not in known:
            yield f"{option[1]}: no command has it"


def lacking_settings(codes: list[str], sources: str) -> Iterator[str]:
    """Variables and settings of ours: the code must know the name."""
    for code in codes:
        for name in re.findall(r"\b(QUEUE_OR_TASK_\w+|sidekiq_\w+)\b", code):
            if not re.search(rf"\b{name}\b", sources):
                yield f"{name}: the code does not know it"
        for extra in re.findall(r"queue-or-task\[(\w+)\]", code):
            if (
                extra
                not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
                    "optional-dependencies"
                ]
            ):
                yield f"queue-or-task[{extra}]: no such extra"


@cache
def sources() -> str:
    rooms = [
        path for path in tracked() if path.suffix == ".py" and path.parts[len(ROOT.parts)] in ROOMS.split("|")
    ]
    return "\n".join(path.read_text() for path in rooms)


def wrong_on(text: str) -> list[str]:
    """All that a page promises and that does not work."""
    codes = code_of(text)
    own = set(re.findall(r"^# (\w+)\.py$", text, re.MULTILINE))
    return [
        *unimportable(codes),
        *lacking_paths(codes),
        *lacking_modules(codes),
        *lacking_targets(codes, (ROOT / "Makefile").read_text()),
        *lacking_apps(codes, own),
        *lacking_tasks(codes),
        *lacking_commands(codes),
        *lacking_options(codes),
        *lacking_settings(codes, sources()),
    ]


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_public_path_of_a_page_works(page: Path) -> None:
    assert wrong_on(page.read_text()) == []


@pytest.mark.parametrize("file", EXAMPLES, ids=ids)
def test_every_public_path_of_an_example_works(file: Path) -> None:
    text = file.read_text()
    found = [name for name in names_in(text) if file.suffix == ".py"]
    assert [
        *unimportable([text] if found else []),
        *lacking_apps([text], set()),
        *lacking_commands([text]),
    ] == []


@pytest.mark.parametrize("page", [path for path in tracked() if path.suffix == ".md"], ids=ids)
def test_every_relative_link_and_anchor_of_a_page_leads_somewhere(page: Path) -> None:
    assert list(dead_links(page.read_text(), page.parent)) == []


def test_every_page_that_code_or_docs_cite_exists() -> None:
    dangling = {
        f"{ids(path)}: {name}"
        for path in tracked()
        if path.suffix in CITING and path.name != "CHANGELOG.md" and path != Path(__file__)
        for name in dangling_pages(path.read_text(errors="replace"), path.parent)
    }
    assert dangling == set()


def test_no_comment_or_docstring_names_a_page_outside_the_repository() -> None:
    named = {
        f"{ids(path)} {found}"
        for path in tracked()
        if path.suffix == ".py" and path != Path(__file__)
        for found in retired_names(path.read_text())
    }
    assert named == set()


LIMIT = re.compile(r"^\| .+ \| ([\d., ]+) \| `([\w.]+)\.(\w+)` \|$", re.MULTILINE)


def test_every_limit_that_the_method_states_is_that_of_the_code() -> None:
    stated = LIMIT.findall((ROOT / "docs" / "method.md").read_text())
    assert len(stated) > 40
    assert [row for row in stated if not _is_limit(*row)] == []


def _is_limit(text: str, module: str, name: str) -> bool:
    value = getattr(importlib.import_module(module), name)
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else (value,)
    return [float(number) for number in text.split(", ")] == [float(number) for number in values]


#: A page of lies, and the first words of what must be said of each.
LIES = {
    "`from inprocess import Supervizor`": "import inprocess Supervizor",
    "```python\nfrom celery_impl.nowhere import Sidekiq\n```": "import celery_impl.nowhere Sidekiq",
    "`celery_impl.sidekiq.beat:NoScheduler`": "name celery_impl.sidekiq.beat NoScheduler",
    "`bench.no_such_module.main`": "name bench.no_such_module.main",
    "`broker_url = 'lease+ftp://host'`": "transport lease+ftp",
    "`bench/nowhere.py`": "bench/nowhere.py: no such path",
    "`python -m bench.measures`": "python -m bench.measures: no such program",
    "`make tea`": "make tea: no such target",
    "```console\n$ celery -A nowhere.app worker\n```": "nowhere.app: no such app",
    "`queue-or-task run --task shop.tasks.fly`": "shop.tasks.fly: no such task",
    "```console\n$ queue-or-task dance\n```": "queue-or-task dance: no such command",
    "`queue-or-task run --backwards`": "queue-or-task run --backwards: no such option",
    "```console\n$ celery -A shop sidekiq dance\n```": "sidekiq dance: no such command",
    "`--sidewise`": "--sidewise: no command has it",
    "`QUEUE_OR_TASK_MOOD`": "QUEUE_OR_TASK_MOOD: the code does not know it",
    "`@app.task(sidekiq_mood=1)`": "sidekiq_mood: the code does not know it",
    "`pip install 'queue-or-task[moon]'`": "queue-or-task[moon]: no such extra",
}


@pytest.mark.parametrize(("page", "said"), LIES.items())
def test_a_page_that_promises_what_is_not_there_is_found_out(page: str, said: str) -> None:
    wrong = wrong_on(page)
    assert len(wrong) == 1
    assert wrong[0].startswith(said)


@pytest.mark.parametrize(
    ("find", "text"),
    [
        (dead_links, "[page](docs/nowhere.md)"),
        (dead_links, "[part](docs/sidekiq.md#no-such-part)"),
        (dead_links, "## Here\n\n[part](#there)"),
        (dangling_pages, "see METHOD.md"),
        (dangling_pages, "see docs/nowhere.md."),
    ],
)
def test_a_dead_link_and_a_dangling_page_are_found_out(
    find: Callable[[str, Path], Iterator[str]], text: str
) -> None:
    assert len(list(find(text, ROOT))) == 1


def test_a_name_of_a_page_outside_the_repository_is_found_out() -> None:
    assert list(retired_names('"""As METHOD has it."""\nX = FAULTS[1]  # DESIGN.md\n')) == [
        "line 1: METHOD",
        "line 2: DESIGN",
    ]


def test_every_class_that_the_architecture_names_is_in_the_code() -> None:
    spans = SPAN.findall(FENCE.sub("", (ROOT / "docs" / "architecture.md").read_text()))
    named = {span for span in spans if re.fullmatch(r"(?:[A-Z][a-z]+){2,}", span)}
    assert len(named) >= 5
    assert {name for name in named if not re.search(rf"^class {name}\b", sources(), re.MULTILINE)} == set()


#: Where the floors of each room are held.
HOUSE = (ROOT / "tests" / "test_house.py").read_text()
ROOM = re.compile(r"^### ([\w/]+)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("room", ["bench", "inprocess/supervision", "celery_impl/sidekiq", "reports"])
def test_the_architecture_lists_the_floors_of_a_room_in_the_order_that_is_held(room: str) -> None:
    [held] = re.findall(r"^FLOORS = (\{.*?^\})", HOUSE, re.MULTILINE | re.DOTALL)
    floors = ast.literal_eval(held)[room]
    rank = {folder: number for number, floor in enumerate(floors) for folder in floor if folder != "."}
    page = dict(ROOM.findall((ROOT / "docs" / "architecture.md").read_text()))[room]
    columns = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    listed = [name for column in columns for name in re.findall(r"`(?:\w+/)?(\w+)/`", column)]
    assert sorted(listed) == sorted(folder for folder in rank if folder not in SUITES)
    assert [rank[folder] for folder in listed] == sorted(rank[folder] for folder in listed)


#: Folders of bench that are no floor of a run.
SUITES = {"celery_suite", "soak", "micro"}
