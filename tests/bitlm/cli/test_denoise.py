"""Filling in a gap from the command line."""

from pathlib import Path

import pytest

from tests.bitlm.cli.program import answer_of, bitlm, trained


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The options that name a data folder with a run that learned to denoise a little."""
    return trained(tmp_path_factory.mktemp("data"), "--steps", "12", "--set", "objective=mixed")


def test_a_gap_is_filled_between_what_was_given(data: tuple[str, str]) -> None:
    order = ("denoise", "--prompt", "The ", "--suffix", " end.", "--max-new-bytes", "20", "--steps", "4")
    said = bitlm(*order, "--frames", *data)
    assert said.stdout.startswith("The ")
    assert said.stdout.endswith(" end.\n")
    frames = [line for line in said.stderr.splitlines() if " end." in line]
    assert [line.split()[0] for line in frames][:5] == ["0", "1", "2", "3", "4"]
    assert "░" * 20 in frames[0]
    assert "░" not in frames[4]
    assert "gate " in said.stderr
    answer = answer_of(*order, *data)
    assert len(answer["bits"]) == 20 * 8
    assert answer == answer_of(*order, *data)


def test_what_cannot_be_is_one_sentence(data: tuple[str, str], tmp_path: Path) -> None:
    assert "use one of linear, cosine, exp" in bitlm("denoise", "--noise-schedule", "x", *data, code=2).stderr
    assert "--noise-schedule" in bitlm("denoise", "--help").stdout
    causal = trained(tmp_path, "--steps", "1")
    refused = bitlm("denoise", *causal, code=2).stderr
    assert "never learned to denoise: make one with objective='diffusion' or 'mixed'" in refused


def test_what_it_reaches_is_told_as_a_bound_with_its_interval(data: tuple[str, str], tmp_path: Path) -> None:
    told = answer_of("evaluate", *data)
    low, high = told["bound"]["interval"]
    assert low < told["bound"]["bits_per_byte"] < high
    assert told["bits_per_byte"] is not None
    line = bitlm("evaluate", *data).stdout.splitlines()[0]
    assert f"denoising at most {told['bound']['bits_per_byte']:.3f} bits per byte ({low:.3f} to" in line
    only = trained(tmp_path, "--steps", "2", "--set", "objective=diffusion")
    told = answer_of("evaluate", *only)
    assert told["bits_per_byte"] is None
    assert told["bound"]["estimator"] == "time"
    refused = bitlm("evaluate", "--adaptive", *only, code=2).stderr
    assert "this run only denoises" in refused


def test_a_retry_in_the_other_mode_is_there_for_both_commands(data: tuple[str, str]) -> None:
    for command in ("denoise", "generate"):
        asked = ("--prompt", "The ", "--max-new-bytes", "16", "--temperature", "5", *data)
        plain, switching = (answer_of(command, *asked, *more) for more in ((), ("--switch-modes",)))
        assert plain["gate"]["attempts"] > 1, "at temperature 5 a text is noise"
        assert switching["gate"]["attempts"] > 1
        assert switching["text"] != plain["text"]
    refused = bitlm("denoise", "--suffix", " end.", "--switch-modes", *data, code=2).stderr
    assert "switch_modes=True: leave out what is given after the gap" in refused
