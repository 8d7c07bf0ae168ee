"""Clients of one dialect on routes whose target speaks the other."""

import json

import pytest
from anthropic import Anthropic
from openai import OpenAI
from pydantic import BaseModel

HELLO = [{"role": "user", "content": "Say hello."}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}}
ANTHROPIC_TOOL = {"name": "weather", "description": "The weather.", "input_schema": CITY}
TWO_CITIES = [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "weather", "arguments": {"city": "Quito"}}]
CITIES = [{"city": "Oslo"}, {"city": "Quito"}]
USAGE = {"input": 7, "output": 5, "cached_read": 3}


class Person(BaseModel):
    """What the model shall answer with."""

    name: str
    age: int


class TestAnthropicClientOnOpenAI:
    def ask(self, target, **more):
        return {"model": target.model, "messages": HELLO, "max_tokens": 100, **more}

    def test_a_unary_answer(self, openai_target):
        openai_target.script(text="Hello there.", usage=USAGE)
        answer = Anthropic().messages.create(**self.ask(openai_target, system="Be brief.", stop_sequences=["END"]))
        assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
        assert [block.text for block in answer.content] == ["Hello there."]
        usage = answer.usage
        assert (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens) == (7, 5, 3)
        [call] = openai_target.calls()
        assert call["path"] == "/v1/chat/completions"
        assert call["headers"]["authorization"] == f"Bearer sk-upstream-{openai_target.name}"
        assert [message["role"] for message in call["body"]["messages"]] in (["system", "user"], ["developer", "user"])
        assert call["body"]["stop"] in ("END", ["END"])

    def test_a_stream(self, openai_target):
        openai_target.script(chunks=4, usage=USAGE)
        with Anthropic().messages.stream(**self.ask(openai_target)) as stream:
            pieces = list(stream.text_stream)
            final = stream.get_final_message()
        assert pieces == [f"piece{number} " for number in range(1, 5)]
        assert (final.usage.input_tokens, final.usage.output_tokens, final.usage.cache_read_input_tokens) == (7, 5, 3)
        assert final.stop_reason == "end_turn"

    @pytest.mark.parametrize("streamed", [False, True])
    def test_parallel_tool_calls_and_their_results(self, openai_target, streamed):
        openai_target.script(tool_calls=TWO_CITIES)
        client, request = Anthropic(), self.ask(openai_target, tools=[ANTHROPIC_TOOL])
        if streamed:
            with client.messages.stream(**request) as stream:
                asked = stream.get_final_message()
        else:
            asked = client.messages.create(**request)
        uses = [block for block in asked.content if block.type == "tool_use"]
        assert [use.input for use in uses] == CITIES
        assert asked.stop_reason == "tool_use"
        results = [{"type": "tool_result", "tool_use_id": use.id, "content": "18 °C"} for use in uses]
        messages = [*HELLO, {"role": "assistant", "content": asked.content}, {"role": "user", "content": results}]
        told = client.messages.create(**self.ask(openai_target, tools=[ANTHROPIC_TOOL], messages=messages))
        assert told.content[0].text
        roles = [message["role"] for message in openai_target.calls()[1]["body"]["messages"]]
        assert roles == ["user", "assistant", "tool", "tool"]

    def test_an_image(self, openai_target):
        source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}
        content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
        Anthropic().messages.create(**self.ask(openai_target, messages=[{"role": "user", "content": content}]))
        [call] = openai_target.calls()
        [image] = [part for part in call["body"]["messages"][0]["content"] if part["type"] == "image_url"]
        assert image["image_url"]["url"] == "data:image/png;base64,iVBORw0="

    def test_a_count_of_tokens_is_answered_without_the_provider(self, openai_target):
        messages = [{"role": "user", "content": "word " * 400}]
        counted = Anthropic().messages.count_tokens(model=openai_target.model, messages=messages)
        assert 400 <= counted.input_tokens <= 600
        assert openai_target.calls() == []


class TestOpenAIClientOnAnthropic:
    def test_a_unary_answer(self, anthropic_target):
        anthropic_target.script(text="Hello there.", usage=USAGE)
        messages = [{"role": "system", "content": "Be brief."}, *HELLO]
        answer = OpenAI().chat.completions.create(model=anthropic_target.model, messages=messages, stop=["END"])
        choice = answer.choices[0]
        assert (choice.message.content, choice.finish_reason, answer.object) == ("Hello there.", "stop", "chat.completion")
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (10, 5, 15)
        assert answer.usage.prompt_tokens_details.cached_tokens == 3
        [call] = anthropic_target.calls()
        assert call["path"] == "/v1/messages"
        assert call["headers"]["x-api-key"] == f"sk-upstream-{anthropic_target.name}"
        assert [message["role"] for message in call["body"]["messages"]] == ["user"]
        assert "Be brief." in json.dumps(call["body"]["system"])
        assert call["body"]["stop_sequences"] == ["END"]
        assert call["body"]["max_tokens"] > 0

    @pytest.mark.parametrize("with_usage", [False, True])
    def test_a_stream(self, anthropic_target, with_usage):
        anthropic_target.script(chunks=4, usage=USAGE)
        options = {"stream_options": {"include_usage": True}} if with_usage else {}
        chunks = list(OpenAI().chat.completions.create(model=anthropic_target.model, messages=HELLO, stream=True, **options))
        pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
        assert pieces == [f"piece{number} " for number in range(1, 5)]
        reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
        assert reasons == ["stop"]
        used = [(chunk.usage.prompt_tokens, chunk.usage.completion_tokens) for chunk in chunks if chunk.usage]
        assert used == ([(10, 5)] if with_usage else [])

    @pytest.mark.parametrize("streamed", [False, True])
    def test_parallel_tool_calls_and_their_results(self, anthropic_target, streamed):
        anthropic_target.script(tool_calls=TWO_CITIES)
        client, request = OpenAI(), {"model": anthropic_target.model, "messages": list(HELLO), "tools": [OPENAI_TOOL]}
        if streamed:
            with client.chat.completions.stream(**request) as stream:
                asked = stream.get_final_completion()
        else:
            asked = client.chat.completions.create(**request)
        message = asked.choices[0].message
        assert [json.loads(call.function.arguments) for call in message.tool_calls] == CITIES
        assert asked.choices[0].finish_reason == "tool_calls"
        calls = [call.model_dump(include={"id", "type", "function"}) for call in message.tool_calls]
        for call in calls:
            call["function"] = {key: call["function"][key] for key in ("name", "arguments")}
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "18 °C"} for call in calls]
        messages = [*HELLO, {"role": "assistant", "tool_calls": calls}, *results]
        told = client.chat.completions.create(**{**request, "messages": messages})
        assert told.choices[0].message.content
        body = anthropic_target.calls()[1]["body"]
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
        assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "tool_result"]

    def test_an_answer_keeps_to_the_schema_that_was_given(self, anthropic_target):
        answer = OpenAI().chat.completions.parse(model=anthropic_target.model, messages=HELLO, response_format=Person)
        assert isinstance(answer.choices[0].message.parsed, Person)

    def test_thinking_does_not_mix_with_the_answer(self, anthropic_target):
        anthropic_target.script(thinking="First this.", text="So it is.")
        client = OpenAI()
        answer = client.chat.completions.create(model=anthropic_target.model, messages=HELLO)
        assert answer.choices[0].message.content == "So it is."
        stream = client.chat.completions.create(model=anthropic_target.model, messages=HELLO, stream=True)
        assert "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices) == "So it is."
