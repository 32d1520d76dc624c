"""A file made small on the page by the live model, saved, and given back."""

from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import EvaluateModule, OpenWindow
from tests.browser.pages import make_run, state
from tests.conftest import RunningServer


def test_a_file_is_made_small_saved_and_given_back_and_a_long_one_is_cancelled(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path, tmp_path: Path
) -> None:
    page = open_window(server.url).page
    make_run(page, server.url, corpus_file.read_text())
    server.ask("POST", "/train-step", {"steps": 5})
    page.reload()
    expect(state(page)).to_have_text("ready")
    page.get_by_role("tab", name="Compress").click()
    panel = page.get_by_role("tabpanel", name="Compress")
    letter = tmp_path / "letter.txt"
    letter.write_bytes(corpus_file.read_bytes()[-2000:])
    chosen = panel.locator("[data-file]")

    chosen.set_input_files(letter)
    save = panel.get_by_role("button", name="Save letter.txt.bitlm")
    with page.expect_download() as download:
        save.click()
    small = tmp_path / download.value.suggested_filename
    download.value.save_as(small)
    assert small.stat().st_size < 2000
    expect(panel).to_contain_text(f"2,000 → {small.stat().st_size:,} bytes")
    names = panel.get_by_role("list").locator("b")
    assert set(names.all_inner_texts()) == {"BitLM", "gzip", "bzip2", "xz"}

    chosen.set_input_files(small)
    expect(panel).to_contain_text("every byte as it was")
    with page.expect_download() as download:
        panel.get_by_role("button", name="Save letter.txt").click()
    assert Path(download.value.path()).read_bytes() == letter.read_bytes()

    letter.write_bytes(corpus_file.read_bytes() * 20)
    chosen.set_input_files(letter)
    expect(panel.get_by_role("progressbar")).to_be_visible()
    panel.get_by_role("button", name="Cancel").click()
    expect(panel).to_contain_text("Choose a file or drop it here")
    expect(panel.get_by_role("button", name="Choose a file")).to_be_enabled()
    expect(page.locator(".toast-problem")).to_have_text([])


def test_sizes_are_told_from_the_smallest_on_and_what_became_of_a_file_in_a_sentence(
    evaluate_module: EvaluateModule,
) -> None:
    answer: dict[str, Any] = {
        "bytes": 2000, "compressed_bytes": 500, "bits_per_byte": 2.0, "seconds": 3, "step": 1200,
        "alone_bytes": {"gzip": 900, "xz": 400},
    }  # fmt: skip
    told = evaluate_module("file_coding.js", "(module, answer) => module.sizes(answer)", answer)
    assert [(row["name"], row["share"], row["isOurs"]) for row in told] == [
        ("xz", 0.2, False), ("BitLM", 0.25, True), ("gzip", 0.45, False),
    ]  # fmt: skip
    says = "(module, answer) => module.outcome(answer)"
    told = "2,000 → 500 bytes, 2.00 bits per byte, in 3 s. The checkpoint of step 1,200 gives it back"
    assert evaluate_module("file_coding.js", says, answer).startswith(told)
    empty = answer | {"bytes": 0, "compressed_bytes": 60, "bits_per_byte": None}
    assert evaluate_module("file_coding.js", says, empty).startswith("0 → 60 bytes, in 3 s.")
    back = answer | {"alone_bytes": None}
    assert (
        evaluate_module("file_coding.js", says, back) == "2.00 kB are back, every byte as it was, after 3 s."
    )
