#!/usr/bin/env python3
"""Trains the demo model or its draft model on the CPU and exports it.

    train.py target --work DIR          about 30 minutes of one core with AMX
    train.py draft --work DIR           about 5 minutes

Deterministic for one machine and one PyTorch: seeds are fixed, step n's text depends on n
only, and a run resumed from a checkpoint in DIR goes on as if it had not stopped.
The learning rate warms up, stays, and falls to zero over the last part of the run.
"""

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import corpus
from export import export
from network import DRAFT, TARGET, Llama, Shape
from vocabulary import train_tokenizer

HERE = Path(__file__).parent
SEED = 1
NUM_WARMUP_STEPS = 100


@dataclass
class Plan:
    """What a run trains, where it is exported, and how long it takes."""
    shape: Shape
    out: Path
    num_steps: int
    num_decay_steps: int


PLANS = {"target": Plan(TARGET, HERE / "model", num_steps=1700, num_decay_steps=300),
         "draft": Plan(DRAFT, HERE / "draft", num_steps=1800, num_decay_steps=630)}


def rate_factor(step, plan):
    """Learning rate relative to its peak: trapezoid of warm-up, plateau and linear decay."""
    return min((step + 1) / NUM_WARMUP_STEPS, 1.0, (plan.num_steps - step) / plan.num_decay_steps)


def make_optimizers(network):
    """Muon for the layers' matrices (it needs fewer steps), AdamW for embedding and norms."""
    matrices = [p for name, p in network.named_parameters() if p.dim() == 2 and "embed" not in name]
    others = [p for name, p in network.named_parameters() if p.dim() != 2 or "embed" in name]
    return [torch.optim.Muon(matrices, lr=2.5e-3, weight_decay=0.05, momentum=0.95,
                             adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0)]


def train_step(network, optimizers, rows, masks, factor):
    """Runs one step on a batch and returns its loss."""
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.loss(torch.tensor(rows), torch.tensor(masks))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("peak_lr", group["lr"]) * factor
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item()


def save_checkpoint(path, network, optimizers, step):
    """Writes the checkpoint so that an interrupted write leaves the previous one whole."""
    torch.save({"network": network.state_dict(), "step": step,
                "optimizers": [optimizer.state_dict() for optimizer in optimizers]},
               path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def load_checkpoint(path, network, optimizers):
    """Restores a checkpoint when there is one; returns the step to go on with."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    for optimizer, saved in zip(optimizers, state["optimizers"]):
        optimizer.load_state_dict(saved)
    return state["step"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("which", choices=PLANS)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="export folder (default: beside this script)")
    parser.add_argument("--checkpoint-every", type=int, default=200)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    plan = PLANS[arguments.which]
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    arguments.work.mkdir(parents=True, exist_ok=True)

    tokenizer = train_tokenizer()
    network = Llama(plan.shape)
    optimizers = make_optimizers(network)
    checkpoint = arguments.work / f"{arguments.which}.pt"
    network.forward = torch.compile(network.forward, dynamic=False)
    first_step = load_checkpoint(checkpoint, network, optimizers)
    print(f"{arguments.which}: {sum(p.numel() for p in network.parameters()):,} parameters, "
          f"steps {first_step} to {plan.num_steps}", flush=True)

    started, num_tokens, losses = time.monotonic(), 0, []
    for step in range(first_step, plan.num_steps):
        rows, masks = corpus.batch(tokenizer, SEED, step)
        losses.append(train_step(network, optimizers, rows, masks, rate_factor(step, plan)))
        num_tokens += sum(map(len, rows))
        if (step + 1) % 50 == 0:
            rate = num_tokens / (time.monotonic() - started)
            print(f"step {step + 1} loss {sum(losses) / len(losses):.4f} {rate:.0f} tokens/s", flush=True)
            losses.clear()
        if (step + 1) % arguments.checkpoint_every == 0 or step + 1 == plan.num_steps:
            save_checkpoint(checkpoint, network, optimizers, step + 1)
    export(network, tokenizer, arguments.out or plan.out)


if __name__ == "__main__":
    main()
