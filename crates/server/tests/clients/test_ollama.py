"""The server through Ollama's own client."""

import unittest

import ollama
from server import CONTEXT, KEY, MODEL, PERSON, TOO_LONG, URL, WEATHER, ServerTest

client = ollama.Client(host=URL, headers={"authorization": f"Bearer {KEY}"})
QUESTION = [{"role": "user", "content": "What is paged attention?"}]
BRIEF = {"temperature": 0, "num_predict": 24}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": WEATHER}}]


class Listing(ServerTest):
    def test_the_model_is_listed_shown_and_loaded(self):
        (model,) = client.list().models
        self.assertEqual(model.model, MODEL)
        self.assertEqual(model.details.format, "gguf")
        self.assertGreater(model.size, 1_000_000)
        shown = client.show(MODEL)
        self.assertIn("completion", shown.capabilities)
        architecture = shown.modelinfo["general.architecture"]
        self.assertEqual(shown.modelinfo[f"{architecture}.context_length"], CONTEXT)
        self.assertTrue(shown.template)
        (process,) = client.ps().models
        self.assertEqual((process.model, process.context_length), (MODEL, CONTEXT))

    def test_a_tag_may_be_named(self):
        self.assertTrue(client.chat(f"{MODEL}:latest", QUESTION, options=BRIEF).message.content)


class Chat(ServerTest):
    def test_an_answer_comes_with_its_statistics(self):
        answer = client.chat(MODEL, QUESTION, options=BRIEF)
        self.assertTrue(answer.message.content)
        self.assertTrue(answer.done)
        self.assertIn(answer.done_reason, ("stop", "length"))
        self.assertGreater(answer.eval_count, 0)
        self.assertGreater(answer.prompt_eval_count, 0)
        self.assertGreaterEqual(answer.total_duration, answer.eval_duration)

    def test_a_stream_brings_the_same_text(self):
        whole = client.chat(MODEL, QUESTION, options=BRIEF)
        parts = list(client.chat(MODEL, QUESTION, options=BRIEF, stream=True))
        self.assertEqual("".join(part.message.content for part in parts), whole.message.content)
        self.assertEqual([part.done for part in parts], [False] * (len(parts) - 1) + [True])
        self.assertEqual(parts[-1].eval_count, whole.eval_count)

    def test_a_schema_shapes_the_answer(self):
        answer = client.chat(MODEL, [{"role": "user", "content": "Describe a person."}], format=PERSON, options={"num_predict": 1500, "seed": 1})
        self.assert_person(answer.message.content)

    def test_tools_and_their_results_are_understood(self):
        turns = [{"role": "user", "content": "What is the weather in Oslo?"}]
        answer = client.chat(MODEL, turns, tools=TOOLS, options=BRIEF)
        self.assertTrue(answer.message.content or answer.message.tool_calls)
        call = {"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
        turns += [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "tool_name": "get_weather", "content": "rain"}]
        self.assertTrue(client.chat(MODEL, turns, tools=TOOLS, options=BRIEF).done)

    def test_a_stream_that_is_left_stops_the_work(self):
        stream = client.chat(MODEL, [{"role": "user", "content": "Count from 1 to 1000."}], options={"num_predict": 2000}, stream=True)
        next(stream)
        stream.close()


class Generate(ServerTest):
    def test_a_prompt_is_answered_whole_and_as_a_stream(self):
        whole = client.generate(MODEL, "What is paged attention?", options=BRIEF)
        self.assertTrue(whole.response)
        parts = list(client.generate(MODEL, "What is paged attention?", options=BRIEF, stream=True))
        self.assertEqual("".join(part.response for part in parts), whole.response)

    def test_a_raw_prompt_is_continued_without_a_template(self):
        raw = client.generate(MODEL, "Paged attention", raw=True, options=BRIEF)
        chat = client.generate(MODEL, "Paged attention", options=BRIEF)
        self.assertLess(raw.prompt_eval_count, chat.prompt_eval_count)

    def test_an_empty_prompt_loads_the_model(self):
        answer = client.generate(MODEL)
        self.assertEqual((answer.done, answer.done_reason, answer.response), (True, "load", ""))


class Embed(ServerTest):
    def test_texts_become_vectors_of_one_length(self):
        one, two = client.embed(MODEL, ["a cat", "a dog"]).embeddings
        self.assertEqual(len(one), len(two))
        self.assertNotEqual(one, two)
        (alone,) = client.embed(MODEL, "a cat").embeddings
        self.assertEqual(len(alone), len(one))
        self.assertEqual(len(client.embeddings(MODEL, "a cat").embedding), len(one))


class Errors(ServerTest):
    def refused(self, call, status):
        with self.assertRaises(ollama.ResponseError) as caught:
            call()
        self.assertEqual(caught.exception.status_code, status)
        return caught.exception.error

    def test_each_error_says_what_is_wrong(self):
        self.refused(lambda: client.chat("no-such-model", QUESTION), 404)
        self.refused(lambda: client.chat(MODEL, QUESTION, options={"temperature": -1}), 400)
        self.assertIn(str(CONTEXT), self.refused(lambda: client.chat(MODEL, [{"role": "user", "content": TOO_LONG}]), 400))
        self.assertIn(str(CONTEXT), self.refused(lambda: client.chat(MODEL, QUESTION, options={"num_ctx": CONTEXT + 1}), 400))
        self.refused(lambda: client.pull("other"), 501)
        self.refused(lambda: client.delete(MODEL), 501)


if __name__ == "__main__":
    unittest.main()
