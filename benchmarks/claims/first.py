"""What is claimed of the main job: a model trained, watched and sampled in its first minutes."""

from benchmarks.claim import Asked, Bar, Benchmark, Claim, NotMeasured, Quality, Topic, asserted_by, row
from benchmarks.quality_record import MIXING

QUALITY = Benchmark(
    "quality",
    "python -m benchmarks.quality --corpus embedded --only compressors reference mixing "
    "--budgets 1 5 --threads 1",
    3,
)
LATENCY = Benchmark("service_latency", "python -m benchmarks.service_latency", 2)
SMALL = ("embedded", MIXING, 1, "small")
AT_LENGTH = ("embedded", MIXING, 5, "small")

MAIN_JOB = Topic(
    "The main job",
    [
        Claim(
            "one click on the page trains on the embedded text, charts it and samples it",
            asserted_by(
                "tests/browser/test_main_job.py",
                "test_one_click_trains_on_the_embedded_text",
                "test_a_run_is_steered_sampled_and_still_there_after_a_reload",
            ),
        ),
        Claim(
            "after 60 s of training a sample has English-looking words",
            NotMeasured("no program judges it; the README's picture shows such a sample"),
        ),
        Claim(
            "`make check` on two cores",
            NotMeasured("no results are kept of it; what it takes is seen at each run"),
            bar=Bar("green in under 15 minutes", lambda: False),
        ),
        Claim(
            "the `Dockerfile` builds",
            NotMeasured(
                "done by hand, once, by podman upon a base of Debian's Python 3.11; no results are kept"
            ),
        ),
        Claim(
            "embedded text: gzip · bzip2 · xz, bits per byte",
            Quality(QUALITY, [Asked("embedded", side) for side in ("gzip", "bzip2", "xz")]),
            "{:.2f} · {:.2f} · {:.2f}",
            readme=["| gzip · bzip2 · xz | {:.2f} · {:.2f} · {:.2f} |"],
        ),
        Claim(
            "embedded text: order 0 · 1 · 2 · 3 · 5, bits per byte",
            Quality(QUALITY, [Asked("embedded", f"order {order}") for order in (0, 1, 2, 3, 5)]),
            "{:.2f} · {:.2f} · {:.2f} · {:.2f} · {:.2f}",
            readme=["| order 0 · 1 · 2 · 3 · 5 | {:.2f} · {:.2f} · {:.2f} · {:.2f} · {:.2f} |"],
        ),
        Claim(
            "embedded text: `small` after 1 minute of one thread, bits per byte",
            Quality(QUALITY, [Asked(*SMALL)]),
            "{:.2f}",
            readme=[
                "| BitLM, `small` (0.77 M parameters), after 1 minute | {:.2f} |",
                "`small` is at {:.2f} bpb after one minute",
            ],
        ),
        Claim(
            "… after 5 minutes, in which it has learned the text by heart, beside order 2",
            Quality(QUALITY, [Asked(*AT_LENGTH), Asked("embedded", "order 2")]),
            "{:.2f} against {:.2f}",
            Bar("below order 2", lambda reached, order: reached < order),
            ["{0:.2f} after five ("],
        ),
        Claim(
            "… the same with dropout 0.4",
            Quality(QUALITY, [Asked(*AT_LENGTH, dropout=0.4)]),
            "{:.2f}",
            readme=["[{:.2f} with dropout]"],
        ),
        Claim(
            "… counts adapting to the text evaluated",
            Quality(QUALITY, [Asked(*SMALL, "adapting_bits_per_byte")]),
            "{:.2f}",
            readme=["| … counts adapting to the text evaluated, as PPM's do | {:.2f} |"],
        ),
        Claim(
            "size of `small`",
            Quality(QUALITY, [Asked(*SMALL, "parameters")]),
            "{:,} parameters",
        ),
        Claim(
            "two runs with the same settings and seed have the same losses to the last bit",
            asserted_by(
                "tests/bitlm/session/test_session.py",
                "test_two_runs_with_one_seed_have_the_same_losses_to_the_last_bit",
            ),
        ),
        Claim(
            "`store`, `checkpoint` and `recompute` have the same gradients to the last bit",
            asserted_by(
                "tests/bitlm/model/test_reversible.py",
                "test_all_memory_modes_give_the_same_gradients_to_the_last_bit",
            ),
        ),
        Claim(
            "… and changing between them while training changes no bit",
            asserted_by(
                "tests/bitlm/training/test_trainer.py",
                "test_the_memory_mode_can_change_between_steps_without_changing_a_bit",
            ),
        ),
        Claim(
            "LZ76 counts the phrases that a brute-force Kaspar–Schuster scan does",
            asserted_by(
                "tests/bitlm/telemetry/test_lempel_ziv.py",
                "test_phrases_equal_kaspar_and_schusters_scan_and_the_definition",
                "test_phrases_of_degenerate_rows_equal_the_scan",
                "test_phrases_of_long_random_rows_equal_the_scan",
            ),
        ),
        Claim(
            "C and S tell text of the embedded corpus from loops, noise and flipped bits",
            asserted_by(
                "tests/bitlm/telemetry/test_gate_separation.py",
                "test_mean_measures_of_each_kind_lie_in_their_band",
                "test_the_default_floors_refuse_at_least_this_share",
            ),
        ),
        Claim(
            "a script makes a run, trains, steers and samples it through four routes",
            asserted_by(
                "tests/app/test_seed_endpoints.py",
                "test_a_run_is_made_trained_steered_and_sampled",
            ),
        ),
        Claim(
            "`/status` while training at full speed, p95",
            LATENCY.take(lambda kept: [row(kept["rows"], what="GET /status, training")["p95_ms"]]),
            "{:.0f} ms",
            Bar("below 100 ms", lambda ms: ms < 100),
            ["| `/status` while training at full speed, p95 | {:.0f} ms |"],
        ),
        Claim(
            "`/infer` of 64 bytes meanwhile, p95; of a step; of the sample alone",
            LATENCY.take(
                lambda kept: [
                    row(kept["rows"], what=what)["p95_ms"]
                    for what in ("POST /infer, training", "step of training", "POST /infer, paused")
                ]
            ),
            "{:.0f} ms; {:.0f} ms; {:.0f} ms",
            Bar(
                "below a step, the sample alone and 100 ms together",
                lambda infer, step, alone: infer < step + alone + 100,
            ),
            ["(a step takes {1:.0f} ms, the sample alone {2:.0f} ms) | {0:.0f} ms |"],
        ),
    ],
)
