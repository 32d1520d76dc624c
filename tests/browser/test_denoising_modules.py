"""What a denoised text is made of, and the template that keeps some of it, without a service."""

import json

import pytest

from tests.browser.conftest import EvaluateModule


@pytest.mark.parametrize(
    ("texts", "frozen", "template"),
    [
        ("Thé end", [0, 1, 2], ["a ", "Thé", 4, " b"]),
        ("Thé end", [3, 4], ["a ", 4, " e", 2, " b"]),
        ("€\U0001f600é", [1], ["a ", 3, "\U0001f600", 2, " b"]),
        ("€\U0001f600é", [0, 2], ["a ", "€", 4, "é", " b"]),
        ("a\ufffd\ufffdb", [0, 3], ["a ", "a", 2, "b", " b"]),
        ("ab", [], ["a ", 2, " b"]),
        ("ab", [0, 1], ["a ", "ab", " b"]),
    ],
)
def test_a_template_has_gaps_of_as_many_bytes_as_their_characters(
    evaluate_module: EvaluateModule, texts: str, frozen: list[int], template: list[str | int]
) -> None:
    call = """(module, [texts, frozen]) => {
        const parts = { prompt: "a ", middle: [], suffix: " b" };
        const characters = [...texts].map((text) => ({ text }));
        return module.templateOf(parts, characters, characters.map((_, index) => frozen.includes(index)));
    }"""
    assert (
        evaluate_module("template.js", f"(module, given) => ({call})(module, given)", [texts, frozen])
        == template
    )


@pytest.mark.parametrize(
    ("template", "prompt", "middle", "suffix"),
    [
        (["The ", 3, " end"], "The ", [3], " end"),
        (["", "ab", 3, "c", ""], "", ["ab", 3, "c"], ""),
        ([3, "c", 2], "", [3, "c", 2], ""),
        (["The ", 3], "The ", [3], ""),
        (None, "p", [7], "s"),
    ],
)
def test_the_first_and_the_last_text_of_a_template_are_prompt_and_suffix(
    evaluate_module: EvaluateModule,
    template: list[str | int] | None,
    prompt: str,
    middle: list[str | int],
    suffix: str,
) -> None:
    parts = {"prompt": prompt, "middle": middle, "suffix": suffix}
    call = "(module, request) => module.partsOf(request)"
    given = {"template": template} if template else {"suffix": "s", "template": None}
    asked = {} if template else {"prompt": "p", "max_new_bytes": 7}
    assert evaluate_module("template.js", call, asked | given | {"mode": "diffusion"}) == parts
    assert evaluate_module("template.js", call, {"prompt": "", **asked, "denoise": given}) == parts
    assert evaluate_module("template.js", call, {"prompt": "p", "denoise": None}) is None


def test_a_text_is_shown_with_what_is_kept_before_its_first_gap_and_after_its_last(
    evaluate_module: EvaluateModule,
) -> None:
    parts = {"prompt": "", "middle": ["é", 2, "ü", 1, "z"], "suffix": ""}
    told = [{"text": text, "surprise_bits": 2} for text in ("ö", "ü", "\ufffd")]
    call = "(module, [parts, told]) => module.wholeCharacters(parts, told)"
    found = evaluate_module("template.js", call, [parts, told])
    assert [(one["text"], one["isFrozen"], one["surprise_bits"]) for one in found] == [
        ("é", True, 0), ("ö", False, 2), ("ü", True, 2), ("\ufffd", False, 2), ("z", True, 0),
    ]  # fmt: skip
    assert [byte["value"] for byte in found[0]["bytes"]] == list("é".encode())
    assert evaluate_module(
        "template.js", "(module, [parts, all]) => module.isComplete(parts, all)", [parts, found]
    )


def test_a_text_of_a_template_is_copied_whole_and_its_command_says_it_once(
    evaluate_module: EvaluateModule,
) -> None:
    denoising = {"template": ["The ", "big ", 3, "."], "suffix": "", "steps": 6}
    request = {"prompt": "", "max_new_bytes": 128, "top_p": 1, "denoise": denoising}
    call = "(module, sample) => module.wholeText(sample)"
    assert (
        evaluate_module("sample_view.js", call, {"request": request, "response": {"text": "end"}})
        == "The big end."
    )
    command = evaluate_module(
        "sample_view.js", "(module, asked) => module.curlCommand('', asked, 7)", request
    )
    assert json.loads(command.split(" -d ")[1].strip("'")) == {
        "mode": "diffusion", "template": ["The ", "big ", 3, "."], "steps": 6, "top_p": 1, "seed": 7,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "obstacle"),
    [
        ("[true, false], 4, true", None),
        ("[false, false], 3, true", "Freeze what is to stay: click, drag or Space"),
        ("[true, true], 3, true", "All is frozen: nothing is left to denoise"),
        ("[true, false], 4, false", "Go to the last step to freeze characters"),
        ("[true, false], 1025, true", "Too many single characters: freeze longer stretches"),
    ],
)
def test_why_the_rest_cannot_be_denoised_is_said(
    evaluate_module: EvaluateModule, call: str, obstacle: str | None
) -> None:
    state = evaluate_module("freezing.js", f"(module) => module.freezingState({call})")
    assert state == {"says": obstacle or "1 of 2 characters frozen", "obstacle": obstacle}
