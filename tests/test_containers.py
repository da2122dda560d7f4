"""The recipes of the two containers: the same environment, from req.txt alone."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKER = (ROOT / "Dockerfile").read_text()
APPTAINER = (ROOT / "natural2nanoscale.def").read_text()


def base(recipe):
    (image,) = re.findall(r"^from:?\s+(\S+)$", recipe, re.IGNORECASE | re.MULTILINE)
    return image


def commands(recipe, program):
    """Calls of a program with options and arguments, without the shell's words around them."""
    lines = re.sub(r"\s*\\\n\s*", " ", recipe).splitlines()
    return [
        call.strip()
        for line in lines
        if not line.startswith("#")
        for call in re.split(r"&&|^RUN ", line)
        if call.strip().startswith(program)
    ]


def test_same_pinned_base_with_the_tested_python():
    assert base(DOCKER) == base(APPTAINER)
    version = re.fullmatch(r"python:(3\.11)\.\d+-slim-\w+", base(DOCKER))[1]
    assert f"Python {version}" in (ROOT / "req.txt").read_text()


def test_both_install_req_txt_and_nothing_else():
    (install,) = commands(DOCKER, "python -m pip install")
    assert install.endswith(" -r req.txt")
    assert commands(APPTAINER, "python -m pip install") == [install]
    assert commands(DOCKER, "apt-get install") == commands(APPTAINER, "apt-get install")
    for recipe in (DOCKER, APPTAINER):
        assert len(re.findall(r"\bpip3? install|\bconda\b|\bcurl\b|\bwget\b", recipe)) == 1


def test_both_install_in_place_what_pyproject_names():
    """`-e .` needs pyproject.toml in the folder of the installation, and points to that folder."""
    assert "WORKDIR /workspace\nCOPY pyproject.toml req.txt ./\nRUN python -m pip" in DOCKER
    copied, run = APPTAINER.split("%post")
    for name in ("pyproject.toml", "req.txt"):
        assert f"    {name} /workspace/{name}\n" in copied
    assert "cd /workspace\n    python -m pip" in run
    # Apptainer's code is in the folder it is called in, not in the image.
    assert 'export PYTHONPATH="$PWD"' in run.split("%environment")[1]


def test_every_requirement_is_pinned_and_the_project_installed_in_place():
    lines = (ROOT / "req.txt").read_text().splitlines()
    *lines, last = [line.split("#")[0].strip() for line in lines if not line.startswith("#")]
    assert last == "-e ."
    assert lines and all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)


def test_environment_before_code():
    order = [
        DOCKER.index(word)
        for word in ("COPY pyproject", "pip install", "chown user:user .", "COPY --chown=user:user")
    ]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("user", "owner", "expected"),
    [
        (0, 1234, "--reuid 1234 --regid 1234 --clear-groups -- train.py a b"),
        (0, 0, "plain a b"),  # a folder of root, or Docker without root
        (1001, 1234, "plain a b"),  # --user
    ],
)
def test_commands_run_as_the_owner_of_the_mounted_folder(tmp_path, user, owner, expected):
    """`docker run -v "$PWD:/workspace"` alone can write its results, and not as root."""
    assert 'ENTRYPOINT ["container_entry"]' in DOCKER and "\nUSER" not in DOCKER
    programs = {
        "id": f"echo {user}",
        "stat": f"echo {owner}",
        "setpriv": 'echo "$@"',
        "train.py": 'echo plain "$@"',
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", ROOT / "scripts" / "container_entry.sh", "train.py", "a b"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected


def test_what_git_ignores_does_not_enter_the_image():
    def names(path):
        return {
            line.strip("/")
            for line in (ROOT / path).read_text().splitlines()
            if line and not line.startswith("#")
        }

    left_out = {name.removeprefix("**/") for name in names(".dockerignore")}
    assert names(".gitignore") <= left_out
