"""What is claimed of runs: that they survive, and can be replayed, forked and argued with."""

from benchmarks.claim import Bar, Benchmark, Claim, NotMeasured, Topic, asserted_by, row

CRASH = Benchmark("crash", "python -m benchmarks.crash --seed 1", 19)
POINTS = Benchmark("million_points", "python -m benchmarks.million_points", 5)
STATES = ("paused", "training")

RUNS = Topic(
    "Runs",
    [
        Claim(
            "killed 200 times at random moments while commands arrive: "
            "acknowledged and lost · corrupt stores",
            CRASH.take(
                lambda kept: [
                    kept["report"][name] for name in ("lost", "acknowledged", "corrupt_stores", "kills")
                ]
            ),
            "{} of {:,} · {}",
            Bar("0 · 0 after 200", lambda lost, _, corrupt, kills: lost == corrupt == 0 and kills >= 200),
            [
                (
                    "| killed {3} times at random moments while commands arrive: acknowledged and lost · "
                    "corrupt stores | {0} of {1:,} · {2} |"
                )
            ],
        ),
        Claim(
            "… checkpoints that came out the same when replayed; final weights bit-equal to the run "
            "without interruption",
            CRASH.take(
                lambda kept: [
                    kept["report"][name]
                    for name in ("checkpoints_equal", "checkpoints_compared", "bit_equal")
                ]
            ),
            "{:,} of {:,}; bit-equal: {}",
            Bar("all; bit-equal", lambda equal, compared, bits: equal == compared > 0 and bits is True),
            ["| {:,} of {:,}; bit-equal |"],
        ),
        Claim(
            "the same with 20 kills, at each run of the tests",
            asserted_by(
                "tests/app/test_crash.py",
                "test_nothing_that_was_acknowledged_is_lost_when_the_service_is_killed_again_and_again",
            ),
        ),
        Claim(
            "a death at each point of a checkpoint's commit: the run goes on bit for bit",
            asserted_by(
                "tests/bitlm/session/test_commit_protocol.py",
                "test_these_are_all_the_points_that_a_checkpoint_reaches",
                "test_a_run_that_died_there_goes_on_bit_for_bit_with_every_command_it_had_acknowledged",
            ),
        ),
        Claim(
            "fsync, rename, fsync, row, acknowledgement: in that order, seen by strace",
            asserted_by(
                "tests/app/test_commit_order.py",
                "test_a_checkpoint_is_synced_then_named_then_recorded_then_acknowledged",
                "test_a_command_is_on_the_disk_before_it_is_acknowledged",
            ),
        ),
        Claim(
            "100 flipped bits and truncations of checkpoints: each noticed, the run recovered each time",
            asserted_by(
                "tests/bitlm/session/test_damage.py",
                "test_a_damaged_checkpoint_is_noticed_and_the_run_is_what_it_was_to_the_last_bit",
            ),
        ),
        Claim(
            "a full disk of 20 MB: training pauses with an alert and goes on when there is room again",
            asserted_by(
                "tests/app/test_disk.py",
                "test_a_full_disk_pauses_training_and_it_goes_on_when_there_is_room_again",
            ),
        ),
        Claim(
            "a session recorded in the browser (five slider moves, pause, anneal, fork) is replayed to the "
            "same hashes; its twin without one move differs from that step on",
            asserted_by(
                "tests/browser/test_history.py",
                "test_a_recorded_session_is_replayed_bit_for_bit_and_its_twin_differs_from_the_missing_move_on",
            ),
        ),
        Claim(
            "what λ_K = 0.1 cost the run in the README's picture, beside its twin",
            NotMeasured("read off that run; `python -m benchmarks.screenshots` keeps no results"),
        ),
        Claim(
            "a run of a million steps: its metrics in 1,000 points, median, paused · training",
            POINTS.take(
                lambda kept: [
                    *(row(kept["rows"], what=f"metrics, 1000 points, {state}")["p50_ms"] for state in STATES),
                    kept["checks"]["at most 1000 points"] and kept["checks"]["two answers are the same"],
                ]
            ),
            "{0:.0f} · {1:.0f} ms",
            Bar(
                "below 50 ms, at most 1,000 points, the same at each request",
                lambda paused, training, right: max(paused, training) < 50 and right,
            ),
            [
                (
                    "| a run of a million steps: its metrics in 1,000 points, median, paused · training | "
                    "{0:.0f} · {1:.0f} ms |"
                )
            ],
        ),
        Claim(
            "… its page, from opening to the first chart, median, paused · training",
            POINTS.take(
                lambda kept: [
                    row(kept["rows"], what=f"page opened, {state}")["p50_ms"] / 1000 for state in STATES
                ]
            ),
            "{:.1f} · {:.1f} s",
            Bar("below 3 s", lambda paused, training: max(paused, training) < 3),
            ["… its page, from opening to the first chart, median, paused · training | {:.1f} · {:.1f} s |"],
        ),
    ],
)
