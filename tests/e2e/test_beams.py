"""Beam search through both doors: what comes back is ranked, one beam is greedy, more beams find better; it goes beside other
requests and through tight pools; what it cannot honour is refused by name; a client that leaves frees everything."""
import concurrent.futures
import http.client
import json
import sys
import time
import unittest

from cluster import Cluster, ROOT

sys.path.insert(0, str(ROOT / "deploy/examples"))
import zmq_client

PROMPT = "Once upon a time"


def search(cluster, prompt=PROMPT, **fields):
    return cluster.complete(prompt, use_beam_search=True, logprobs=0, **fields)["choices"]


def score(choice, penalty=1.0):
    logprobs = choice["logprobs"]["token_logprobs"]
    return sum(logprobs) / len(logprobs) ** penalty


def soon(condition, limit=10):
    end = time.monotonic() + limit
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


class Beams(unittest.TestCase):
    def check_ranked(self, cluster):
        for penalty in (0.0, 1.0, 2.0):
            choices = search(cluster, n=4, max_tokens=12, length_penalty=penalty)
            self.assertEqual([c["index"] for c in choices], [0, 1, 2, 3])
            scores = [score(c, penalty) for c in choices]
            self.assertEqual(scores, sorted(scores, reverse=True))
            self.assertEqual(len({c["text"] for c in choices}), 4)

    def check_one_is_greedy_and_more_are_better(self, cluster):
        greedy = cluster.complete(PROMPT, max_tokens=12, logprobs=0)["choices"][0]
        self.assertEqual(search(cluster, max_tokens=12)[0]["text"], greedy["text"])
        best = search(cluster, beam_width=8, max_tokens=12, ignore_eos=True)[0]
        self.assertGreaterEqual(score(best), score(greedy) - 1e-4)

    def check_the_other_door(self, cluster):
        fields = dict(use_beam_search=True, n=3, beam_width=5, max_tokens=12, length_penalty=0.5)
        over_http = cluster.complete(PROMPT, early_stopping="never", **fields)["choices"]
        client = zmq_client.Client(cluster.zmq_endpoint)
        over_zmq = client.complete(PROMPT, early_stopping_mode="never", temperature=0.0, **fields).choices
        self.assertEqual([c["text"] for c in over_http], [c.text for c in over_zmq])
        with self.assertRaises(zmq_client.GatewayError) as refused:
            client.complete(PROMPT, use_beam_search=True, stream=True)
        self.assertEqual((refused.exception.error.status, refused.exception.error.param), (400, "stream"))

    def check_chat(self, cluster):
        status, answer = cluster.post("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "What is the opposite of hot?"}], "use_beam_search": True, "n": 2,
            "beam_width": 4, "max_tokens": 24})
        self.assertEqual(status, 200, answer)
        self.assertEqual(len(answer["choices"]), 2)
        self.assertIn("cold", answer["choices"][0]["message"]["content"])

    def check_refusals(self, cluster):
        for field, value in [("stream", True), ("temperature", 0.7), ("stop", "x"), ("beam_width", 64), ("length_penalty", 99),
                             ("early_stopping", "soon"), ("speculative", "ngram"), ("presence_penalty", 1)]:
            status, answer = cluster.post("/v1/completions", {"prompt": "a", "use_beam_search": True, "n": 2, field: value})
            self.assertEqual((status, answer["error"]["param"]), (400, field), answer)

    def check_a_client_that_leaves(self, cluster):
        connection = http.client.HTTPConnection("127.0.0.1", cluster.port)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": "Once", "use_beam_search": True, "n": 8, "max_tokens": 900, "ignore_eos": True}),
            {"Content-Type": "application/json"})
        self.assertTrue(soon(lambda: cluster.metric("vllm:num_requests_running") == 8))
        connection.sock.close()
        self.assertTrue(soon(lambda: cluster.metric("vllm:num_requests_running") == 0))

    def test_two_ranks(self):
        with Cluster(tensor_parallel=2, zmq=True) as cluster:
            self.check_ranked(cluster)
            self.check_one_is_greedy_and_more_are_better(cluster)
            self.check_the_other_door(cluster)
            self.check_chat(cluster)
            self.check_refusals(cluster)
            self.check_a_client_that_leaves(cluster)

    def test_a_tight_pool_changes_nothing(self):
        prompts = ["Once upon a time", "The red dog", "Count from 3 to 20.", "What colour is the sky?"]
        fields = dict(n=4, max_tokens=40, length_penalty=0.8, ignore_eos=True)
        with Cluster(worker_args=["--dtype=f32", "--num-blocks=24"]) as cluster:
            alone = [search(cluster, prompt, **fields) for prompt in prompts]
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                long = [pool.submit(cluster.complete, "Tell me a story.", max_tokens=150, ignore_eos=True) for _ in range(2)]
                together = [job.result() for job in [pool.submit(search, cluster, prompt, **fields) for prompt in prompts]]
                for job in long:
                    self.assertTrue(job.result()["choices"][0]["text"])
            self.assertEqual([[c["text"] for c in choices] for choices in together],
                             [[c["text"] for c in choices] for choices in alone])


if __name__ == "__main__":
    unittest.main()
