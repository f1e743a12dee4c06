"""Guessing tokens ahead changes no answer: greedy, sampled by seed, with stop strings, penalties and logprobs, on one
rank and on two; and clients and operators can see how well it goes."""
import concurrent.futures
import unittest

from cluster import DEMO, Cluster

DRAFT = DEMO.parent / "draft"
QUESTIONS = ["Tell me a story.", "Count from 3 to 20.", "Repeat after me: red dog blue cat red dog blue cat",
             "What colour is the sky?"]
WAYS = [dict(temperature=0), dict(temperature=0.8, seed=5), dict(temperature=0, logprobs=True, top_logprobs=2),
        dict(temperature=0.6, seed=9, repetition_penalty=1.2, min_tokens=8), dict(temperature=0, stop=["the", "7"])]


def ask(cluster, question, **parameters):
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": 96, **parameters}
    status, answer = cluster.post("/v1/chat/completions", body)
    assert status == 200, (status, answer)
    return answer["choices"], answer["usage"]


def answers(cluster, mode):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(ask, cluster, question, speculative=mode, **way) for way in WAYS for question in QUESTIONS]
        return [job.result() for job in jobs]


class Speculation(unittest.TestCase):
    def check(self, tensor_parallel):
        args = ["--draft-model", str(DRAFT), "--no-prefix-caching"]
        with Cluster(tensor_parallel=tensor_parallel, args=args, worker_args=["--dtype=f32"]) as cluster:
            plain = answers(cluster, "off")
            self.assertEqual(cluster.metric("vllm:spec_decode_num_draft_tokens_total"), 0)
            for mode in ["draft", "ngram", "auto"]:
                guessed = answers(cluster, mode)
                self.assertEqual([choices for choices, _ in guessed], [choices for choices, _ in plain], mode)
                details = [usage["completion_tokens_details"] for _, usage in guessed]
                if mode == "draft":
                    self.assertGreater(sum(d["accepted_prediction_tokens"] for d in details), 0)
            drafted = cluster.metric("vllm:spec_decode_num_draft_tokens_total")
            accepted = cluster.metric("vllm:spec_decode_num_accepted_tokens_total")
            self.assertGreater(accepted, 0)
            self.assertGreaterEqual(drafted, accepted)
            self.assertNotIn("completion_tokens_details", ask(cluster, "Hi")[1])

    def test_one_rank(self):
        self.check(1)

    def test_two_ranks(self):
        self.check(2)


if __name__ == "__main__":
    unittest.main()
