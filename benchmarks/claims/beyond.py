"""What is claimed of more than one process: sharing a run, watching and steering it, agents, packages."""

from benchmarks.claim import Claim, Topic, asserted_by

TOGETHER = "tests/bitlm/distributed/test_together.py"
SHARDING = "tests/bitlm/distributed/test_sharding.py"
STEERING = "tests/app/test_steering.py"

BEYOND = Topic(
    "Beyond one process",
    [
        Claim(
            "50 steps in four, two and one process that share a step's windows (`ddp`): losses, weights and "
            "optimizer are those of one, to the last bit",
            asserted_by(
                TOGETHER, "test_fifty_steps_in_four_two_and_one_process_are_those_of_one_to_the_last_bit"
            ),
        ),
        Claim(
            "… in four and two that keep shares of the weights (`fsdp`, FSDP2), one killed within a "
            "step; what four kept is taken up by four and two",
            asserted_by(
                SHARDING,
                "test_fifty_steps_in_shares_are_those_of_one_process_to_the_last_bit",
                "test_a_run_of_which_a_process_was_killed_within_a_step_is_taken_up_in_shares",
                "test_what_four_processes_kept_is_taken_up_by_as_many_and_fewer_to_the_last_bit",
            ),
        ),
        Claim(
            "… in four, two and one stage of a pipeline, with GPipe and with 1F1B",
            asserted_by(
                TOGETHER, "test_fifty_steps_in_four_stages_two_and_one_are_those_of_one_to_the_last_bit"
            ),
        ),
        Claim(
            "checkpoints in shards: what four processes wrote is what one would have, to the last bit, and "
            "torch's own reader finds it",
            asserted_by(
                SHARDING,
                "test_what_four_processes_kept_is_taken_up_by_as_many_and_fewer_to_the_last_bit",
                "test_torch_reads_a_checkpoint_in_shards_to_the_last_bit",
            ),
        ),
        Claim(
            "torchrun's processes, told by letter, one killed −9, end as one process does, to the last bit",
            asserted_by(
                "tests/bitlm/cli/test_ranks.py",
                "test_a_training_in_two_processes_told_by_letter_and_one_of_them_killed_is_that_of_one_process",
            ),
        ),
        Claim(
            "two viewers over Redis show the live run; killing a viewer or Redis leaves training be",
            asserted_by(
                "tests/app/test_viewers.py",
                "test_two_who_watch_show_the_very_state_of_the_run_that_the_owner_trains",
                "test_whoever_watches_can_be_killed_and_so_can_redis_and_training_goes_on",
            ),
        ),
        Claim(
            "a training in a terminal is steered from a viewer, and is what its journal says, bit for bit",
            asserted_by(
                STEERING,
                "test_what_changes_a_run_is_answered_as_by_its_owner",
                "test_a_wish_to_stop_ends_it_well_and_the_run_is_what_its_journal_says",
            ),
        ),
        Claim(
            "an agent trains, moves λ, samples through the gate and reads drift; without leave it only looks",
            asserted_by(
                "tests/app/test_mcp.py",
                "test_an_agent_trains_moves_a_slider_samples_through_the_gate_and_reads_what_happened",
                "test_without_being_told_more_agents_can_look_and_every_write_is_refused",
            ),
        ),
        Claim(
            "the wheel trains and serves from any folder; every other Python there is installs and reads it",
            asserted_by(
                "tests/test_packaging.py",
                "test_it_trains_from_any_folder_and_where_no_web_framework_is",
                "test_the_service_has_its_page_with_all_that_this_loads",
                "test_every_other_python_of_this_machine_installs_it_and_reads_its_sources_or_is_told_it_is_too_old",
            ),
        ),
    ],
)
