"""The official `anthropic` client on routes whose target speaks the same dialect."""

import asyncio

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TWO_CITIES = [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "weather", "arguments": {"city": "Quito"}}]


def ask(target, **more):
    return {"model": target.model, "messages": HELLO, "max_tokens": 100, **more}


def inputs_of(message):
    return [block.input for block in message.content if block.type == "tool_use"]


def test_a_unary_answer_arrives_as_the_provider_gave_it(anthropic_target):
    anthropic_target.script(text="Hello there.", usage={"input": 7, "output": 5, "cached_read": 3, "cache_write": 2})
    answer = Anthropic().messages.create(**ask(anthropic_target))
    assert [block.text for block in answer.content] == ["Hello there."]
    assert (answer.stop_reason, answer.model) == ("end_turn", anthropic_target.upstream_model)
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (7, 5, 3, 2)


def test_the_provider_gets_its_own_key_and_the_call_of_the_client(anthropic_target):
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    Anthropic().messages.create(**ask(anthropic_target, system=system, extra_headers={"anthropic-beta": "something-2026-01-01"}))
    [call] = anthropic_target.calls()
    assert call["path"] == "/v1/messages"
    assert call["headers"]["x-api-key"] == f"sk-upstream-{anthropic_target.name}"
    assert call["headers"]["anthropic-beta"] == "something-2026-01-01"
    assert call["body"] == ask(anthropic_target, system=system, model=anthropic_target.upstream_model)


def test_a_stream_is_made_of_the_events_of_its_dialect(anthropic_target):
    anthropic_target.script(chunks=3)
    events = list(Anthropic().messages.create(**ask(anthropic_target, stream=True)))
    kinds = [event.type for event in events if event.type != "ping"]
    deltas = ["content_block_delta"] * 3
    assert kinds == ["message_start", "content_block_start", *deltas, "content_block_stop", "message_delta", "message_stop"]


def test_the_stream_helper_ends_in_the_whole_message(anthropic_target):
    anthropic_target.script(chunks=4, usage={"input": 7, "output": 5})
    with Anthropic().messages.stream(**ask(anthropic_target)) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert pieces == [f"piece{number} " for number in range(1, 5)]
    assert final.content[0].text == "".join(pieces)
    assert (final.usage.input_tokens, final.usage.output_tokens, final.stop_reason) == (7, 5, "end_turn")


def test_parallel_tool_calls_and_their_results_make_a_conversation(anthropic_target):
    anthropic_target.script(tool_calls=TWO_CITIES)
    client = Anthropic()
    asked = client.messages.create(**ask(anthropic_target, tools=[WEATHER]))
    assert asked.stop_reason == "tool_use"
    assert inputs_of(asked) == [{"city": "Oslo"}, {"city": "Quito"}]
    uses = [block for block in asked.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "18 °C"} for use in uses]
    messages = [*HELLO, {"role": "assistant", "content": asked.content}, {"role": "user", "content": results}]
    told = client.messages.create(**ask(anthropic_target, tools=[WEATHER], messages=messages))
    assert told.content[0].text
    assert len(anthropic_target.calls()) == 2


def test_streamed_tool_calls_come_together(anthropic_target):
    anthropic_target.script(tool_calls=TWO_CITIES)
    with Anthropic().messages.stream(**ask(anthropic_target, tools=[WEATHER])) as stream:
        final = stream.get_final_message()
    assert inputs_of(final) == [{"city": "Oslo"}, {"city": "Quito"}]


def test_thinking_comes_before_the_answer_and_keeps_its_signature(anthropic_target):
    anthropic_target.script(thinking="First this, then that.", text="So it is.")
    client, more = Anthropic(), {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
    whole = client.messages.create(**ask(anthropic_target, **more))
    with client.messages.stream(**ask(anthropic_target, **more)) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        thought, said = message.content
        assert (thought.type, thought.thinking, said.text) == ("thinking", "First this, then that.", "So it is.")
        assert thought.signature


class Person(BaseModel):
    """What the model shall answer with."""

    name: str
    age: int


def test_an_answer_keeps_to_the_schema_that_was_given(anthropic_target):
    answer = Anthropic().messages.parse(**ask(anthropic_target, output_format=Person))
    assert isinstance(answer.parsed_output, Person)


def test_tokens_are_counted_by_the_provider(anthropic_target):
    counted = Anthropic().messages.count_tokens(model=anthropic_target.model, messages=HELLO)
    assert counted.input_tokens > 0
    [call] = anthropic_target.calls()
    assert call["path"] == "/v1/messages/count_tokens"
    assert call["body"]["model"] == anthropic_target.upstream_model


def test_models_are_what_the_routes_offer(anthropic_target):
    client, name = Anthropic(), anthropic_target.name
    offered = {model.id for model in client.models.list(limit=1000)}
    assert {name, f"org/{name}"} <= offered
    assert client.models.retrieve(f"org/{name}").id == f"org/{name}"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("org/nothing")


def test_many_calls_at_once_get_their_own_answers(anthropic_target):
    anthropic_target.script(echo=True, chunk_ms=1)

    async def one(client, number):
        request = ask(anthropic_target, messages=[{"role": "user", "content": f"I am number {number}."}])
        if number % 2:
            return (await client.messages.create(**request)).content[0].text
        async with client.messages.stream(**request) as stream:
            return "".join([piece async for piece in stream.text_stream])

    async def all_of_them():
        async with AsyncAnthropic() as client:
            return await asyncio.gather(*(one(client, number) for number in range(24)))

    assert asyncio.run(all_of_them()) == [f"I am number {number}." for number in range(24)]


def test_a_timeout_of_the_client_reaches_the_provider(anthropic_target):
    anthropic_target.script(latency_ms=60_000)
    # The client also tells its timeout, and whoever serves it may answer just before: both are timeouts.
    with pytest.raises((anthropic.APITimeoutError, anthropic.InternalServerError)):
        Anthropic(timeout=0.5, max_retries=0).messages.create(**ask(anthropic_target))
    [call] = anthropic_target.calls(aborted=1)
    assert call["aborted"]


def test_leaving_a_stream_reaches_the_provider(anthropic_target):
    anthropic_target.script(chunks=2, stall={"after_chunks": 1})
    with Anthropic().messages.stream(**ask(anthropic_target)) as stream:
        assert next(iter(stream.text_stream)) == "piece1 "
    [call] = anthropic_target.calls(aborted=1)
    assert call["aborted"]


def test_an_error_after_the_first_words_is_told_and_nothing_is_said_twice(anthropic_target):
    anthropic_target.script(chunks=5, error_in_stream={"after_chunks": 2, "type": "overloaded_error"})
    heard = []
    with pytest.raises(anthropic.APIError), Anthropic().messages.stream(**ask(anthropic_target)) as stream:
        for piece in stream.text_stream:
            heard.append(piece)
    assert heard == ["piece1 ", "piece2 "]
    assert len(anthropic_target.calls()) == 1
