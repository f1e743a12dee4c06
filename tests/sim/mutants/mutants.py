#!/usr/bin/env python3
"""Puts known bugs back into the coordinator, one at a time, and shows that the simulation finds each.

The bugs are switches in the code (common/mutation.h), compiled into one program, sim_mutants. It runs the simulation
with one of them until a CHECK fails. Prints a table with the seconds to find; fails when one is not found, or when the
switches in the code and the table below differ.

    mutants.py --program build/release/tests/sim_mutants [--jobs 2] [--cap SECONDS] [--only WORD]... [--every N]
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]

MUTANTS = {
    # --- blocks ---
    "block_never_freed": "one block in seven is never freed",
    "block_freed_twice": "a block is freed twice",
    "block_stays_free": "an allocated block stays in the free list",
    "last_block_unused": "the last free block is never handed out",
    "part_block_uncounted": "a partly filled block is not counted",
    "blocks_leak": "blocks of a sequence that ended leak",
    "freed_before_second_plan": "blocks are freed while a second plan names them",
    "freed_before_last_plan": "blocks are freed while the last plan names them",
    # --- prefixes and forks ---
    "published_unanswered": "a block is published before its step is answered",
    "reused_block_found": "a block that is handed out anew is still found",
    "prefix_is_whole_prompt": "a prefix may be the whole prompt",
    "salt_ignored": "the salt of a prefix is ignored",
    "untold_taken": "a cached prefix hides log-probabilities of the prompt that are not told yet",
    "told_again": "log-probabilities of a prompt are told again after a preemption",
    "fork_not_copied": "the last block of a fork is not copied",
    "copy_source_free": "the source of a copy is free at once",
    "fork_takes_more": "a fork takes one token more than its parent has computed",
    # --- transfers ---
    "transfer_source_free": "the sources of a transfer are free before its end",
    "transfer_destination_free": "the destinations of a transfer are free before its end",
    "transfer_unconfirmed": "the ranks do not hear that a transfer counts as ended",
    "transfer_outlives_epoch": "transfers outlive their epoch",
    "published_on_the_way": "blocks are found in host memory before they are there",
    "scheduled_before_arrival": "a sequence is computed before its blocks are there",
    "forked_before_arrival": "a sibling forks from blocks that are on their way",
    "no_blocks_back": "a sequence comes back without its blocks",
    # --- slots ---
    "slot_release_unsent": "the worker does not hear that a slot is free",
    "slot_lost": "a slot is lost when its sequence leaves",
    "slot_released_again": "slots are released again with every plan",
    # --- queue and life cycle ---
    "bound_forgets_n": "the queue's bound forgets n",
    "cancel_lost_leaving": "a cancel is lost while the sequence leaves",
    "cancel_lost": "a cancel does not reach the scheduler",
    "events_after_cancel": "a client gets events after its cancel",
    "preempted_forgotten": "a preempted sequence is forgotten",
    "failed_uncounted": "a failed sequence is not counted",
    "finished_uncounted": "a finished sequence is not counted",
    "ends_twice": "a sequence ends twice",
    "deadline_early": "a deadline comes too early",
    "deadline_when_started": "a deadline holds for sequences that have started",
    "deadline_outlives": "a deadline outlives its sequence",
    "wrong_sequence": "tokens go to the wrong sequence of n",
    "lost_awaited_forever": "lost replicas are waited for without end",
    "wait_outlives_join": "requests go on counting their wait for a replica when one is up",
    "replica_awaited_forever": "requests wait without end for a replica",
    # --- policy ---
    "endless_preemption": "a sequence may be preempted without end",
    "hopeless_early": "requests are hopeless that could be in time",
    "tenant_let_in": "unknown tenants are let in",
    "tenant_kept": "a tenant of a refused request keeps it",
    "target_raises_budget": "a target for the time between tokens raises the budget",
    "placed_though_cancelled": "a cancelled sequence stays placed",
    "placed_on_lost": "sequences stay placed on a replica that is lost",
    # --- plans ---
    "chunk_over_budget": "a chunk is one token over the budget",
    "decodes_uncounted": "decodes do not count in the budget",
    "plan_too_many": "one plan too many in flight",
    "two_tokens_left": "prompts with two tokens left are never computed",
    "token_amid_prompt": "a chunk in the middle of a prompt expects a token",
    "planned_though_preempted": "a sequence that preempted itself is planned",
    "running_unordered": "running sequences are kept in the order of arrival here",
    "small_overtakes": "small sequences overtake one that waits for room",
    "placed_not_due": "a replica that somebody waits for is not asked for a plan",
    "resumes_without_output": "a sequence resumes without what it generated",
    "output_is_prompt": "a resumed sequence counts its output as prompt",
    "sampled_alike": "the n sequences of a request sample alike",
    "step_id_twice": "a step id is used twice",
    # --- speculation ---
    "drafts_without_room": "draft tokens find no room in the block table",
    "drafts_uncounted": "draft tokens do not count in the budget",
    "draft_tokens_kept": "tokens that draft tokens may bring are never taken back",
    "answered_not_due": "a replica that has answered is not asked for a plan",
    "lease_not_watched": "nobody looks at the lease of a new rank",
    # --- beams ---
    "beam_not_copied": "a beam that enters is not given its copy",
    "beam_blocks_leak": "the blocks of a beam that lost are not given back",
    "wrong_parent": "a beam goes on from the wrong parent",
    "beam_takes_more": "a beam takes one token too many from its sibling",
    "choice_too_early": "the choice does not wait for the last beam",
    "beam_token_unsent": "the worker does not get the token that a beam goes on with",
    "beam_preempted_alone": "one beam is preempted and the others stay",
    "beams_queued_singly": "beams that wait are queued one by one",
    "too_few_slots": "beams are admitted into fewer slots than they need",
    "choice_cancels_all": "a search is cancelled with its first choice",
    "stop_anywhere": "a stop counts wherever it ranks",
    "penalty_off_by_one": "the length penalty forgets the last token",
    # --- results ---
    "lie_believed": "an answer that cannot be true is taken",
    "past_epoch_applied": "results of a past epoch are applied",
    "any_step_answers": "any step's result answers the oldest plan",
    "tokens_in_flight_kept": "tokens in flight are never taken back",
    "tokens_per_event": "generated tokens are counted per event",
    "any_rank_answers": "any rank may answer",
    # --- membership ---
    "beats_ignored": "beats do not renew the lease",
    "past_beats_count": "beats of a past epoch renew the lease",
    "silence_unnoticed": "a silent rank is noticed too late",
    "hang_unnoticed": "a hung step is not noticed",
    "stall_not_forgiven": "an own stall counts against the ranks",
    "stall_forgiven_twice": "an own stall counts twice for the ranks",
    "epoch_reused": "an epoch is used again",
    "no_beats": "the coordinator does not beat",
    "replica_id_twice": "two replicas get one id",
    "ranks_stay_known": "the other ranks of a replica that is gone stay known",
    "plan_to_rank_zero": "only rank 0 gets the plans",
    "loss_unsent": "the scheduler does not hear that a replica is gone",
}


def switches():
    """The names of the switches in the code."""
    names = set()
    for path in sorted((ROOT / "coordinator").rglob("*")):
        if path.suffix in (".h", ".cpp"):
            names.update(re.findall(r"\bMUTANT(?:_OMITS|_ADDS)?\(\s*(\w+)", path.read_text()))
    return names


def hunt(program, name, cap):
    """Seconds to find and the CHECK that found it, or no seconds and how it got away."""
    start = time.monotonic()
    try:
        # A corrupt state may also loop or eat memory; both count once the limits end it.
        done = subprocess.run(["prlimit", "--as=4000000000", "--core=0", program, "--mutant", name],
                              capture_output=True, text=True, timeout=cap)
    except subprocess.TimeoutExpired:
        return None, f"MISSED in {cap} s"
    if done.returncode == 0:
        return None, "MISSED by all seeds"
    if done.returncode > 0:  # only a signal is a find: the program may not have run at all
        return None, f"NOT RUN: exit {done.returncode}: {done.stderr[-200:]}"
    found = re.search(r"CHECK\(.*|what\(\):.*|terminate called.*|.*_S_.*|.*Assertion.*", done.stderr)
    reason = found.group(0) if found else f"signal {-done.returncode}"
    return time.monotonic() - start, reason.split("failed: ")[-1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/tests/sim_mutants")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--cap", type=float, default=300, help="seconds for one mutant")
    parser.add_argument("--only", action="append", help="mutants whose name or description has this word")
    parser.add_argument("--every", type=int, default=1, help="take every N-th mutant")
    arguments = parser.parse_args()
    if different := switches() ^ MUTANTS.keys():
        print("in the code or in the table, but not in both:", *sorted(different))
        return 1
    chosen = {name: what for name, what in MUTANTS.items()
              if not arguments.only or any(word in name or word in what for word in arguments.only)}
    chosen = dict(list(chosen.items())[::arguments.every])
    missed = []
    print(f"{'bug put back':62} {'seconds':>8}  found by")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        hunts = {name: pool.submit(hunt, arguments.program.resolve(), name, arguments.cap) for name in chosen}
        for name, what in chosen.items():
            seconds, reason = hunts[name].result()
            if seconds is None:
                missed.append(name)
            print(f"{what:62} {'' if seconds is None else f'{seconds:.2f}':>8}  {reason}", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
