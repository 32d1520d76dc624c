"""Completion as bash does it: the script is read by a real one."""

import subprocess

import pytest

from tests.bitlm.cli.program import bitlm

ASKED = """
source /dev/stdin
COMP_WORDS=({line})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_bitlm
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script() -> str:
    return bitlm("completion", "bash").stdout


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("bitlm tra", ["train"]),
        ("bitlm comp", ["compress", "compare", "compile", "completion"]),
        ("bitlm --ver", ["--version"]),
        ("bitlm runs re", ["rename", "restore"]),
        ("bitlm data b", ["build"]),
        ("bitlm runs list --tra", ["--trashed"]),
        ("bitlm train --corpus runs --gr", ["--grow"]),
        ("bitlm train book", [""]),
    ],
)
def test_commands_and_options_are_completed(script: str, line: str, completed: list[str]) -> None:
    answer = subprocess.run(
        ["bash", "-c", ASKED.format(line=line)], input=script, capture_output=True, text=True, check=True
    )
    assert answer.stderr == ""
    assert sorted(answer.stdout.splitlines()) == sorted(completed)


def test_zsh_is_told_to_do_as_bash_does(script: str) -> None:
    assert (
        bitlm("completion", "zsh").stdout
        == "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n" + script
    )
