"""What is claimed of the page."""

from benchmarks.claim import Bar, Benchmark, Claim, NotMeasured, Taken, Topic, asserted_by, row

PAGE = Benchmark("page", "python -m benchmarks.page --minutes 20", 25)


def figures(*whats: str) -> Taken:
    """Return the source of the page's figures of these names."""
    return PAGE.take(lambda kept: [row(kept["figures"], what=what)["value"] for what in whats])


THE_PAGE = Topic(
    "The page",
    [
        Claim(
            "a run of 100,000 steps: first paint",
            figures("first paint"),
            "{:.1f} s",
            Bar("below 1 s", lambda seconds: seconds < 1),
            [
                (
                    "| the page of a run of 100,000 steps: first paint · all charts in view drawn · "
                    "sent at a first visit · asked of other hosts | {:.1f} s · "
                )
            ],
        ),
        Claim(
            "… all charts in view drawn, Train can be pressed",
            figures("charts drawn, Train can be pressed"),
            "{:.1f} s",
            Bar("below 3 s", lambda seconds: seconds < 3),
            [" s · {:.1f} s · "],
        ),
        Claim(
            "… sent at a first visit",
            figures("transferred at first"),
            "{:.2f} MB",
            Bar("below 2 MB", lambda megabytes: megabytes < 2),
            [" s · {:.2f} MB · nothing |"],
        ),
        Claim(
            "… requests to other hosts",
            figures("requests to other hosts"),
            "{}",
            Bar("0", lambda requests: requests == 0),
        ),
        Claim(
            "… while it streams: scripting for an update, four a second",
            figures("scripting for an update, 4 a second", "memory grown in 20 minutes"),
            "{0:.0f} ms",
            Bar("below 50 ms", lambda ms, _: ms < 50),
            [
                (
                    "| … while it streams: scripting for an update, four a second · "
                    "memory grown in 20 minutes | {:.0f} ms · {:.1f} MB |"
                )
            ],
        ),
        Claim(
            "… memory grown in 20 minutes",
            figures("memory grown in 20 minutes"),
            "{:.1f} MB",
            Bar("below 20 MB", lambda megabytes: megabytes < 20),
        ),
        Claim(
            "axe-core finds nothing serious or critical, in either theme",
            asserted_by(
                "tests/browser/test_accessibility.py",
                "test_an_empty_page",
                "test_a_run_in_training",
                "test_a_run_that_is_paused_with_a_sample",
                "test_what_can_be_opened_over_the_page",
            ),
        ),
        Claim(
            "the main job is done by keys alone",
            asserted_by(
                "tests/browser/test_accessibility.py",
                "test_the_main_job_is_done_by_keys_alone",
            ),
        ),
        Claim(
            "after the connection was cut no step and no event is missing",
            asserted_by(
                "tests/browser/test_states.py",
                "test_after_the_socket_was_cut_no_step_is_missing_and_no_event",
            ),
        ),
        Claim(
            "screenshots of each state are looked at: aligned, legible, nothing clipped or overlapping",
            NotMeasured(
                "no program judges it; `python -m benchmarks.album` makes them, and none are committed"
            ),
        ),
    ],
)
