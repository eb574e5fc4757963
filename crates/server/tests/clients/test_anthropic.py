"""The server through Anthropic's own client."""

import unittest

import anthropic
from server import CONTEXT, KEY, MODEL, PERSON, TOO_LONG, URL, WEATHER, ServerTest

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
QUESTION = [{"role": "user", "content": "What is paged attention?"}]
TOOLS = [{"name": "get_weather", "description": "Weather of a city", "input_schema": WEATHER}]


def ask(**fields):
    return client.messages.create(**{"model": MODEL, "messages": QUESTION, "max_tokens": 24, "extra_body": {"temperature": 0}, **fields})


class Messages(ServerTest):
    def test_an_answer_comes_with_its_usage(self):
        message = ask(system="Be brief.")
        (block,) = message.content
        self.assertEqual(block.type, "text")
        self.assertTrue(block.text)
        self.assertIn(message.stop_reason, ("end_turn", "max_tokens"))
        self.assertGreater(message.usage.output_tokens, 0)
        self.assertGreater(message.usage.input_tokens + message.usage.cache_read_input_tokens, 0)

    def test_a_stream_brings_the_same_text_in_the_right_events(self):
        whole = ask()
        with client.messages.stream(model=MODEL, messages=QUESTION, max_tokens=24, extra_body={"temperature": 0}) as stream:
            kinds = [event.type for event in stream]
            message = stream.get_final_message()
        self.assertEqual(message.content[0].text, whole.content[0].text)
        self.assertEqual(message.stop_reason, whole.stop_reason)
        self.assertEqual(message.usage.output_tokens, whole.usage.output_tokens)
        self.assertEqual(kinds[0], "message_start")
        self.assertEqual(kinds[-1], "message_stop")
        self.assertEqual(kinds.count("content_block_start"), kinds.count("content_block_stop"))

    def test_what_was_computed_before_is_read_from_the_cache(self):
        long = [{"role": "user", "content": "Remember this: " + "blocks and tables, " * 40}]
        ask(messages=long)
        again = ask(messages=long)
        self.assertGreater(again.usage.cache_read_input_tokens, 100)

    def test_a_stop_sequence_is_named(self):
        text = ask().content[0].text
        stop = text[4:8]
        message = ask(stop_sequences=[stop])
        self.assertEqual((message.stop_reason, message.stop_sequence), ("stop_sequence", stop))
        self.assertEqual(message.content[0].text, text[: text.index(stop)])

    def test_tokens_are_counted_as_they_are_used(self):
        count = client.messages.count_tokens(model=MODEL, messages=QUESTION, system="Be brief.")
        usage = ask(system="Be brief.").usage
        self.assertEqual(count.input_tokens, usage.input_tokens + usage.cache_read_input_tokens)


class Tools(ServerTest):
    def call(self, **fields):
        question = [{"role": "user", "content": "What is the weather in Oslo?"}]
        return ask(**{"messages": question, "tools": TOOLS, "max_tokens": 64, **fields})

    def test_a_forced_tool_is_called_with_what_its_schema_wants(self):
        for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
            message = self.call(tool_choice={**choice, "disable_parallel_tool_use": True})
            self.assertEqual(message.stop_reason, "tool_use")
            (use,) = (block for block in message.content if block.type == "tool_use")
            self.assertEqual(use.name, "get_weather")
            self.assertEqual(set(use.input), {"city"})

    def test_a_call_streams_and_its_result_is_understood(self):
        question = [{"role": "user", "content": "What is the weather in Oslo?"}]
        with client.messages.stream(model=MODEL, messages=question, tools=TOOLS, max_tokens=64, extra_body={"temperature": 0},
                                    tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}) as stream:
            message = stream.get_final_message()
        (use,) = (block for block in message.content if block.type == "tool_use")
        self.assertEqual(set(use.input), {"city"})
        result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "rain"}]}
        turns = [*question, {"role": "assistant", "content": [use.model_dump(include={"type", "id", "name", "input"})]}, {"role": "user", "content": [result]}]
        self.assertIn(self.call(messages=turns).stop_reason, ("end_turn", "max_tokens", "tool_use"))

    def test_without_a_choice_of_tools_none_is_called(self):
        message = self.call(tool_choice={"type": "none"})
        self.assertEqual([block.type for block in message.content], ["text"])

    def test_a_schema_shapes_the_answer(self):
        message = ask(max_tokens=1500, output_config={"format": {"type": "json_schema", "schema": PERSON}})
        self.assert_person(message.content[0].text)


class Ends(ServerTest):
    def test_a_stream_that_is_closed_stops_the_work(self):
        stream = ask(stream=True, max_tokens=2000, messages=[{"role": "user", "content": "Count from 1 to 1000."}])
        next(iter(stream))
        stream.close()

    def test_each_error_has_its_own_exception(self):
        with self.assertRaises(anthropic.NotFoundError) as caught:
            ask(model="no-such-model")
        self.assertEqual(caught.exception.body["type"], "error")
        self.assertEqual(caught.exception.body["error"]["type"], "not_found_error")
        with self.assertRaises(anthropic.BadRequestError):
            ask(extra_body={"temperature": -1})
        with self.assertRaises(anthropic.BadRequestError) as caught:
            ask(messages=[{"role": "user", "content": TOO_LONG}])
        self.assertIn(str(CONTEXT), caught.exception.message)
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
        with self.assertRaises(anthropic.BadRequestError):
            ask(messages=[{"role": "user", "content": [image]}])
        if KEY != "none":
            with self.assertRaises(anthropic.AuthenticationError):
                client.with_options(api_key="wrong").messages.count_tokens(model=MODEL, messages=QUESTION)


if __name__ == "__main__":
    unittest.main()
