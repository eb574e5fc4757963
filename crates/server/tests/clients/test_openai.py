"""The server through OpenAI's own client."""

import json
import unittest

import openai
from server import CONTEXT, KEY, MODEL, PERSON, TOO_LONG, URL, WEATHER, ServerTest

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
QUESTION = [{"role": "user", "content": "What is paged attention?"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": WEATHER}}]


class Models(ServerTest):
    def test_the_model_is_listed(self):
        self.assertIn(MODEL, [model.id for model in client.models.list()])
        self.assertEqual(client.models.retrieve(MODEL).id, MODEL)


class Chat(ServerTest):
    def test_an_answer_comes_with_its_usage(self):
        answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=16)
        self.assertTrue(answer.choices[0].message.content)
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)

    def test_a_stream_brings_the_same_text(self):
        options = {"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 24}
        whole = client.chat.completions.create(**options)
        chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens)
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices][-1], whole.choices[0].finish_reason)

    def test_several_answers_with_a_seed_repeat(self):
        ask = lambda: client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=1, seed=7, n=3, max_tokens=12)
        first, second = ask(), ask()
        self.assertEqual(len(first.choices), 3)
        self.assertEqual([c.message.content for c in first.choices], [c.message.content for c in second.choices])

    def test_log_probabilities_come_with_each_token(self):
        answer = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=4, logprobs=True, top_logprobs=2)
        tokens = answer.choices[0].logprobs.content
        self.assertEqual(len(tokens), answer.usage.completion_tokens)
        self.assertTrue(all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens))

    def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(self):
        options = {"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 24}
        text = client.chat.completions.create(**options).choices[0].message.content
        stop = text[4:8]
        answer = client.chat.completions.create(**options, stop=[stop]).choices[0]
        self.assertEqual(answer.message.content, text[: text.index(stop)])
        self.assertEqual(answer.finish_reason, "stop")

    def test_a_named_tool_is_called_with_what_its_schema_wants(self):
        for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
            answer = client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
                tools=TOOLS, tool_choice=choice, parallel_tool_calls=False, temperature=0, max_tokens=64)
            self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
            (call,) = answer.choices[0].message.tool_calls
            self.assertEqual(call.function.name, "get_weather")
            self.assertEqual(set(json.loads(call.function.arguments)), {"city"})

    def test_a_call_streams_and_its_result_is_understood(self):
        messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
        with client.chat.completions.stream(model=MODEL, messages=messages, tools=TOOLS, tool_choice="required",
                                            parallel_tool_calls=False, temperature=0, max_tokens=64) as stream:
            message = stream.get_final_completion().choices[0].message
        (call,) = message.tool_calls
        self.assertEqual(call.function.name, "get_weather")
        messages += [
            {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}]},
            {"role": "tool", "tool_call_id": call.id, "content": '{"sky": "rain"}'},
        ]
        answer = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, max_tokens=16)
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length", "tool_calls"))

    def test_a_schema_shapes_the_answer(self):
        shape = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
        for seed in range(3):
            answer = client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "Describe a person."}], response_format=shape, seed=seed, max_tokens=1500)
            self.assert_person(answer.choices[0].message.content)

    def test_a_stream_that_is_closed_stops_the_work(self):
        stream = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=2000, stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()


class Completions(ServerTest):
    def test_text_is_continued_and_echoed(self):
        answer = client.completions.create(model=MODEL, prompt="The sum of 2 and 3 is", max_tokens=4, temperature=0, echo=True)
        self.assertTrue(answer.choices[0].text.startswith("The sum of 2 and 3 is"))

    def test_each_prompt_of_a_list_is_answered(self):
        answer = client.completions.create(model=MODEL, prompt=["one", "two"], max_tokens=3)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])

    def test_a_stream_brings_the_same_text(self):
        options = {"model": MODEL, "prompt": "Paged attention", "max_tokens": 12, "temperature": 0}
        whole = client.completions.create(**options).choices[0].text
        streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(**options, stream=True) if chunk.choices)
        self.assertEqual(streamed, whole)


class Responses(ServerTest):
    def test_a_response_is_text(self):
        response = client.responses.create(model=MODEL, input="What is paged attention?", temperature=0, max_output_tokens=24)
        self.assertTrue(response.output_text)
        self.assertIn(response.status, ("completed", "incomplete"))

    def test_a_stream_brings_the_same_text(self):
        options = {"model": MODEL, "input": "What is paged attention?", "temperature": 0, "max_output_tokens": 24}
        whole = client.responses.create(**options).output_text
        events = list(client.responses.create(**options, stream=True))
        self.assertEqual("".join(event.delta for event in events if event.type == "response.output_text.delta"), whole)
        self.assertIn(events[-1].type, ("response.completed", "response.incomplete"))


class Embeddings(ServerTest):
    def test_texts_become_vectors_of_one_length(self):
        # The client asks for base64 by itself and decodes it.
        one, two = client.embeddings.create(model=MODEL, input=["a cat", "a dog"]).data
        self.assertEqual(len(one.embedding), len(two.embedding))
        self.assertNotEqual(one.embedding, two.embedding)
        self.assertAlmostEqual(sum(x * x for x in one.embedding), 1, places=3)


class Errors(ServerTest):
    def test_each_error_has_its_own_exception(self):
        ask = lambda **fields: client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, **fields})
        with self.assertRaises(openai.NotFoundError) as caught:
            ask(model="no-such-model")
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError) as caught:
            ask(temperature=-1)
        self.assertEqual(caught.exception.param, "temperature")
        with self.assertRaises(openai.BadRequestError) as caught:
            ask(messages=[{"role": "user", "content": TOO_LONG}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        self.assertIn(str(CONTEXT), caught.exception.message)
        if KEY != "none":
            with self.assertRaises(openai.AuthenticationError):
                client.with_options(api_key="wrong").models.list()


if __name__ == "__main__":
    unittest.main()
