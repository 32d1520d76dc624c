"""`bitlm completion`: what a shell needs to complete commands and options without asking this program.

The program itself would answer each Tab with seconds of imports; the script holds the words instead.
"""

from collections.abc import Iterator
from typing import Literal

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

Shell = Literal["bash", "zsh"]

FOR_ZSH = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"
SCRIPT = """\
_bitlm() {{
  local place="" word words
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$place/$word" in
      {paths}) place="$place/$word" ;;
    esac
  done
  case "$place" in
{words}
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _bitlm bitlm
"""


def completion(context: typer.Context, shell: Shell) -> None:
    """Print what completes commands and options in bash or zsh; other words are completed as files.

    Examples:
      source <(python -m bitlm completion bash)
      python -m bitlm completion zsh >> ~/.zshrc
    """
    root = context.find_root().command
    assert isinstance(root, TyperGroup), "this command is one of several"
    found = dict(_words(root, ""))
    cases = "\n".join(f'    "{path}") words="{" ".join(words)}" ;;' for path, words in found.items())
    script = SCRIPT.format(paths="|".join(path for path in found if path), words=cases)
    typer.echo(FOR_ZSH + script if shell == "zsh" else script, nl=False)


def _words(command: TyperCommand | TyperGroup, path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the path of a command and of each below it, with the words that may come next."""
    options = [
        word
        for option in command.params
        if isinstance(option, TyperOption)
        for word in (*option.opts, *option.secondary_opts)
    ]
    below = command.commands if isinstance(command, TyperGroup) else {}
    yield path, [*below, *options, "--help"]
    for name, one in below.items():
        assert isinstance(one, TyperCommand | TyperGroup), "typer makes no others"
        yield from _words(one, f"{path}/{name}")
