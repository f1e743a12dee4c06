"""Log-probabilities of prompts, as evaluators ask for them: with echo, by name, over both doors, and the same whichever
way the prompt was computed. What they are compared with is what the model says of the same token when it generates."""
import concurrent.futures
import sys
import unittest

from cluster import Cluster, ROOT

sys.path.insert(0, str(ROOT / "deploy/examples"))
import zmq_client

STORY = "Once upon a time there was a little cat. The cat liked to play in the garden with a big dog. " * 3
PROMPTS = [STORY, "What is 17 plus 25?", STORY[:120], "Hello!"]


class Evaluation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Steps of few tokens, and few rows of logits at once.
        cls.cluster = cls.enterClassContext(Cluster(
            tensor_parallel=2, zmq=True, args=["--max-logprobs", "-1", "--max-tokens-per-step", "40",
                                         "--max-num-sequences", "4"],
            worker_args=["--dtype=f32", "--max-draft-tokens=0", "--threads=1"]))

    def scores(self, prompt, **parameters):
        """Of the prompt's tokens but the first."""
        choice = self.cluster.complete(prompt, echo=True, logprobs=1, max_tokens=0, **parameters)["choices"][0]
        self.assertIsNone(choice["logprobs"]["token_logprobs"][0])
        self.assertEqual(choice["text"], prompt)
        return choice["logprobs"]["token_logprobs"][1:]

    def test_scores_are_those_of_generation(self):
        for prompt in PROMPTS:
            with self.subTest(prompt[:20]):
                choice = self.cluster.complete(prompt, prompt_logprobs=0, return_token_ids=True,
                                               max_tokens=1)["choices"][0]
                ids, told = choice["prompt_token_ids"], choice["prompt_logprobs"]
                self.assertEqual(len(told), len(ids))
                self.assertEqual(self.scores(prompt), [entry[str(i)]["logprob"] for i, entry in zip(ids[1:], told[1:])])
                for end in range(1, len(ids), 7):
                    answer = self.cluster.complete(ids[:end], max_tokens=1, logprobs=0, logprob_token_ids=[ids[end]],
                                                   return_tokens_as_token_ids=True)["choices"][0]
                    tops = answer["logprobs"]["top_logprobs"][0]
                    self.assertEqual(tops[f"token_id:{ids[end]}"], told[end][str(ids[end])]["logprob"])

    def test_nothing_that_is_computed_before_or_beside_changes_them(self):
        alone = [self.scores(prompt, cache_salt="alone") for prompt in PROMPTS]
        for prompt in PROMPTS:
            self.cluster.complete(prompt, max_tokens=4)  # leaves its blocks in the prefix cache
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(self.scores, prompt, n=n) for n in (1, 2) for prompt in PROMPTS * 2]
            beside = [future.result() for future in futures]
        self.assertEqual(beside, alone * 4)

    def test_the_whole_vocabulary(self):
        choice = self.cluster.complete("Hello!", prompt_logprobs=-1, logprobs=-1, max_tokens=1)["choices"][0]
        sizes = {len(entry) for entry in choice["prompt_logprobs"][1:]}
        self.assertEqual(len(sizes), 1)
        ranks = sorted(entry["rank"] for entry in choice["prompt_logprobs"][1].values())
        self.assertEqual(ranks, list(range(1, sizes.pop() + 1)))

    def test_the_other_door(self):
        client = zmq_client.Client(self.cluster.zmq_endpoint)
        self.addCleanup(client.close)
        finished = client.complete("Hello!", echo=True, num_logprobs=0, return_token_ids=True, max_tokens=0)
        prompt = finished.choices[0].prompt
        self.assertEqual([entry.sampled.logprob for entry in prompt.logprobs], self.scores("Hello!"))
        self.assertEqual(finished.usage.completion_tokens, 0)


if __name__ == "__main__":
    unittest.main()
