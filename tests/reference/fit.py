"""Makes the greedy answers of a random tiny model far from ties.

A purely random model has near-ties every few tokens, so that bf16 rounding alone changes its
greedy answer. Here the random weights are adjusted for a few hundred steps until each prompt
has a random answer of its own with a wide margin: the comparison with another implementation
is then robust, and still depends on every part of the network.
"""

import torch

ANSWER_LENGTH = 64
MARGIN = 6.0
MAX_STEPS = 3000


def _padded(prompts, answers):
    """Returns ids [num_cases, longest] and the mask of the positions that predict the answer."""
    longest = max(len(p) for p in prompts) + ANSWER_LENGTH
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    predicts = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(zip(prompts, answers)):
        ids[row, :len(prompt) + ANSWER_LENGTH] = torch.tensor(prompt + answer)
        predicts[row, len(prompt) - 1:len(prompt) + ANSWER_LENGTH - 1] = True
    return ids, predicts


def margins(logits, answer):
    """Logit of each answer token minus the best other one: [num_tokens]."""
    index = answer[:, None]
    others = logits.scatter(1, index, float("-inf")).amax(dim=1)
    return logits.gather(1, index)[:, 0] - others


def widen_margins(model, prompts, answers):
    """Adjusts `model` until every answer token leads by almost MARGIN; returns the steps taken."""
    ids, predicts = _padded(prompts, answers)
    targets = ids.roll(-1, dims=1)[predicts]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(MAX_STEPS):
        gaps = margins(model(ids).logits[predicts], targets)
        if gaps.min() > 0.75 * MARGIN:
            return step
        (MARGIN - gaps).clamp(min=0).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    raise RuntimeError("the margins did not widen; choose another seed")
