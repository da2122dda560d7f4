"""The documents agree with the repository: their links resolve and their commands exist."""

import ast
import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "demo/*.md", "fid/weights/*.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")
# The Python program that each Slurm script runs with the options after `--`.
PROGRAM_OF_JOB = {
    "scripts/train.slurm": "train.py",
    "scripts/train_multi_node.slurm": "train.py",
    "scripts/generate_array.slurm": "generate.py",
    "scripts/fid.slurm": "fid/compute_cem_fid.py",
    "scripts/pretrain.slurm": "fid/pretraining/mocov2/train.py",
}
PROGRAMS_WITH_SUBCOMMANDS = {"utils/train_segmenter.py"}
# Options in prose that belong to other programs: docker, sbatch, bash scripts/lint.sh.
FOREIGN_OPTIONS = {"--user", "--array", "--fix"}
# Prints the help of each program named on the command line as JSON; one process imports torch once.
PRINT_HELPS = """
import contextlib, io, json, os, runpy, shlex, sys
helps = {}
for command in sys.argv[1:]:
    sys.argv = [*shlex.split(command), "--help"]
    sys.path[0] = os.path.dirname(sys.argv[0])  # as for `python PROGRAM`
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        runpy.run_path(sys.argv[0], run_name="__main__")
    helps[command] = text.getvalue()
print(json.dumps(helps))
"""


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def prose(name):
    """A document without its code blocks."""
    return FENCE.sub("", read(name))


def shell_lines(name):
    """Lines of the shell blocks of a document, continued lines joined, comments removed."""
    for language, block in FENCE.findall(read(name)):
        if language == "bash":
            joined = re.sub(r"\\\n\s*", "", block)
            yield from (re.sub(r"(^|\s)#.*", "", line) for line in joined.splitlines())


def commands(name):
    """(program, its arguments) for every call of one of our programs in a document."""
    for line in shell_lines(name):
        for call in re.split(r"&&|\||;", line):
            words = shlex.split(call)
            job = next((word for word in words if word in PROGRAM_OF_JOB), None)
            script = next((b for a, b in pairwise(words) if a == "python"), "")
            if job:
                yield PROGRAM_OF_JOB[job], words[words.index("--") + 1 :]
            elif script.endswith(".py"):
                arguments = words[words.index(script) + 1 :]
                if script in PROGRAMS_WITH_SUBCOMMANDS and arguments:
                    script = f"{script} {arguments.pop(0)}"
                yield script, arguments


def inline_code(name):
    return re.findall(r"`([^`\n]+)`", prose(name))


def programs_in_prose(name):
    """Programs that the text names, such as `utils/plan.py`, or `compute_cem_fid.py` of fid/."""
    for code in inline_code(name):
        for word in code.split():
            for folder in ("", "fid"):
                path = ROOT / folder / word
                if word.endswith(".py") and path.is_file() and "__main__" in path.read_text():
                    yield path.relative_to(ROOT).as_posix()


CALLS = [(name, program, words) for name in DOCUMENTS for program, words in commands(name)]


@pytest.fixture(scope="module")
def options_of_programs():
    """Program (with its subcommand) -> the options that its help lists."""
    programs = {program for _, program, _ in CALLS}
    for name in DOCUMENTS:
        programs.update(programs_in_prose(name))
    programs = sorted(programs)
    command = [sys.executable, "-c", PRINT_HELPS, *programs]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    helps = json.loads(result.stdout.splitlines()[-1])
    return {program: set(OPTION.findall(text)) for program, text in helps.items()}


def test_a_newcomer_reads_the_readme_in_five_minutes():
    assert len(read("README.md").splitlines()) <= 200


@pytest.mark.parametrize("name", DOCUMENTS)
def test_lines_end_at_100_columns(name):
    """Link definitions cannot be wrapped."""
    long = [line for line in read(name).splitlines() if len(line) > 100]
    assert [line for line in long if not re.match(r"\[[^\]]+\]: ", line)] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_sentences_end_before_code_blocks(name):
    text = read(name)
    for block in FENCE.finditer(text):
        before, after = text[: block.start()].rstrip(), text[block.end() :].lstrip()
        assert before.endswith((".", ":", ")", "```")) or before.splitlines()[-1].startswith("#")
        assert not after[:1].islower(), after[:60]


def anchors(name):
    """The anchors of a document's headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.+)$", prose(name), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_relative_links_resolve(name):
    for match in LINK.finditer(prose(name)):
        target, _, anchor = (match[1] or match[2]).partition("#")
        if target.startswith(("http:", "https:")):
            continue
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.resolve().relative_to(ROOT).as_posix()), match[0]


def defined_names(path):
    """Functions and classes of a file, and `Class.method`."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, kinds):
            found.add(node.name)
            found |= {f"{node.name}.{own.name}" for own in node.body if isinstance(own, kinds)}
    return found


@pytest.mark.parametrize("heading", ["Follow one training sample", "Follow one generated image"])
def test_steps_of_a_journey_exist(heading):
    """Each step names a file, then functions of it."""
    section = read("CONTRIBUTING.md").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    steps = re.findall(r"^\d+\. `([^`]+)`: (.*(?:\n +.*)*)", section, re.MULTILINE)
    assert len(steps) == len(re.findall(r"^\d+\. ", section, re.MULTILINE)) > 9
    for path, text in steps:
        names = {name for name in re.findall(r"`([^`]+)`", text) if not name.startswith("--")}
        assert names and names <= defined_names(ROOT / path), f"{path}: {names}"


def test_programs_of_commands_exist():
    assert {program for _, program, _ in CALLS} >= {"train.py", "generate.py"}
    missing = [call for call in CALLS if not (ROOT / call[1].split()[0]).is_file()]
    assert missing == []


def test_options_of_commands_exist(options_of_programs):
    wrong = [
        f"{name}: {program} {word}"
        for name, program, words in CALLS
        for word in words
        if word.startswith("--") and word.split("=")[0] not in options_of_programs[program]
    ]
    assert wrong == []


def test_options_in_prose_exist(options_of_programs):
    known = set().union(*options_of_programs.values()) | FOREIGN_OPTIONS
    wrong = [
        f"{name}: {option}"
        for name in DOCUMENTS
        for code in inline_code(name)
        for option in OPTION.findall(code)
        if option not in known
    ]
    assert wrong == []
