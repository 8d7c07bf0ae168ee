"""The official `openai` client on routes whose target speaks the same dialect."""

import asyncio
import json
import re

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
TWO_CITIES = [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "weather", "arguments": {"city": "Quito"}}]


def text_of(stream):
    return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)


def test_a_unary_answer_arrives_as_the_provider_gave_it(openai_target):
    openai_target.script(text="Hello there.", usage={"input": 7, "output": 5, "cached_read": 2, "reasoning": 1})
    answer = OpenAI().chat.completions.create(model=openai_target.model, messages=HELLO)
    assert answer.choices[0].message.content == "Hello there."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == openai_target.upstream_model
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (9, 5)
    assert answer.usage.prompt_tokens_details.cached_tokens == 2
    assert answer._request_id


def test_the_provider_gets_its_own_key_and_the_call_of_the_client(openai_target):
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}]
    messages = [{"role": "user", "content": content}]
    openai_target.script(accept_fields=["not_known_yet"])
    OpenAI().chat.completions.create(
        model=openai_target.model, messages=messages, temperature=0.5, extra_body={"not_known_yet": {"a": [1, 2.50]}}
    )
    [call] = openai_target.calls()
    assert call["path"] == "/v1/chat/completions"
    assert call["headers"]["authorization"] == f"Bearer sk-upstream-{openai_target.name}"
    assert call["body"] == {
        "messages": messages,
        "model": openai_target.upstream_model,
        "temperature": 0.5,
        "not_known_yet": {"a": [1, 2.50]},
    }


def test_the_headers_say_who_served(openai_target):
    openai_target.script(status=500, fail_first=2)
    raw = OpenAI().chat.completions.with_raw_response.create(model=openai_target.model, messages=HELLO)
    name = openai_target.name
    assert raw.headers["x-outrigger-route"] == f"default/{name}/all"
    assert raw.headers["x-outrigger-provider"] == name
    assert raw.headers["x-outrigger-model"] == openai_target.upstream_model
    outcomes = re.findall(r"outcome=([a-z_]+)", raw.headers["x-outrigger-attempts"])
    assert outcomes == ["server_error", "server_error", "ok"]
    assert raw.parse().choices[0].message.content


def test_a_short_wait_that_a_provider_asks_for_is_waited_for_once(openai_target):
    openai_target.script(status=429, retry_after=1, fail_first=1, text="At last.")
    answer = OpenAI().chat.completions.create(model=openai_target.model, messages=HELLO)
    assert answer.choices[0].message.content == "At last."
    assert len(openai_target.calls()) == 2


def test_a_stream_arrives_piece_by_piece_and_without_the_usage_that_nobody_asked_for(openai_target):
    openai_target.script(chunks=5)
    chunks = list(OpenAI().chat.completions.create(model=openai_target.model, messages=HELLO, stream=True))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert pieces == [f"piece{number} " for number in range(1, 6)]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_in_the_usage_that_was_asked_for(openai_target):
    openai_target.script(usage={"input": 7, "output": 5})
    stream = OpenAI().chat.completions.create(
        model=openai_target.model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    *_, last = list(stream)
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (7, 5)


def test_the_stream_helper_ends_in_the_whole_answer(openai_target):
    openai_target.script(text="One two three.")
    with OpenAI().chat.completions.stream(model=openai_target.model, messages=HELLO) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "One two three."


def test_parallel_tool_calls_and_their_results_make_a_conversation(openai_target):
    openai_target.script(tool_calls=TWO_CITIES)
    client, messages = OpenAI(), [{"role": "user", "content": "Oslo or Quito?"}]
    asked = client.chat.completions.create(model=openai_target.model, messages=messages, tools=[WEATHER], parallel_tool_calls=True)
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == [{"city": "Oslo"}, {"city": "Quito"}]
    messages.append(message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "18 °C"} for call in message.tool_calls]
    told = client.chat.completions.create(model=openai_target.model, messages=messages, tools=[WEATHER])
    assert told.choices[0].message.content
    assert len(openai_target.calls()) == 2


def test_streamed_tool_calls_come_together(openai_target):
    openai_target.script(tool_calls=TWO_CITIES)
    with OpenAI().chat.completions.stream(model=openai_target.model, messages=HELLO, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [call.function.parsed_arguments or json.loads(call.function.arguments) for call in calls] == [{"city": "Oslo"}, {"city": "Quito"}]
    assert len({call.id for call in calls}) == 2


class Person(BaseModel):
    """What the model shall answer with."""

    name: str
    age: int
    tags: list[str]


def test_an_answer_keeps_to_the_schema_that_was_given(openai_target):
    answer = OpenAI().chat.completions.parse(model=openai_target.model, messages=HELLO, response_format=Person)
    assert isinstance(answer.choices[0].message.parsed, Person)
    [call] = openai_target.calls()
    assert call["body"]["response_format"]["json_schema"]["strict"] is True


def test_embeddings_are_the_same_in_both_encodings(openai_target):
    client = OpenAI()
    packed = client.embeddings.create(model=openai_target.model, input=["one", "two"], dimensions=16)
    plain = client.embeddings.create(model=openai_target.model, input=["one", "two"], dimensions=16, encoding_format="float")
    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data]
    assert [len(item.embedding) for item in packed.data] == [16, 16]
    assert openai_target.calls()[0]["body"]["encoding_format"] == "base64"


def test_models_are_what_the_routes_offer(openai_target):
    client, name = OpenAI(), openai_target.name
    offered = {model.id for model in client.models.list()}
    assert {name, f"org/{name}"} <= offered
    assert client.models.retrieve(name).id == name
    assert client.models.retrieve(f"org/{name}").id == f"org/{name}"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("org/nothing")
    assert openai_target.calls() == []


def test_several_choices_stay_apart(openai_target):
    client = OpenAI()
    answer = client.chat.completions.create(model=openai_target.model, messages=HELLO, n=3, logprobs=True, top_logprobs=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert all(len(choice.logprobs.content[0].top_logprobs) == 2 for choice in answer.choices)
    texts = ["", "", ""]
    for chunk in client.chat.completions.create(model=openai_target.model, messages=HELLO, n=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in answer.choices]


def test_many_calls_at_once_get_their_own_answers(openai_target):
    openai_target.script(echo=True, chunk_ms=1)

    async def ask(client, number):
        messages = [{"role": "user", "content": f"I am number {number}."}]
        if number % 2:
            answer = await client.chat.completions.create(model=openai_target.model, messages=messages)
            return answer.choices[0].message.content
        stream = await client.chat.completions.create(model=openai_target.model, messages=messages, stream=True)
        return "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])

    async def all_of_them():
        async with AsyncOpenAI() as client:
            return await asyncio.gather(*(ask(client, number) for number in range(24)))

    assert asyncio.run(all_of_them()) == [f"I am number {number}." for number in range(24)]


def test_a_timeout_of_the_client_reaches_the_provider(openai_target):
    openai_target.script(latency_ms=60_000)
    # The client also tells its timeout, and whoever serves it may answer just before: both are timeouts.
    with pytest.raises((openai.APITimeoutError, openai.InternalServerError)):
        OpenAI(timeout=0.5, max_retries=0).chat.completions.create(model=openai_target.model, messages=HELLO)
    [call] = openai_target.calls(aborted=1)
    assert call["aborted"]


def test_leaving_a_stream_reaches_the_provider(openai_target):
    openai_target.script(chunks=2, stall={"after_chunks": 1})
    stream = OpenAI().chat.completions.create(model=openai_target.model, messages=HELLO, stream=True)
    assert any(choice.delta.content for chunk in stream for choice in chunk.choices)
    stream.close()
    [call] = openai_target.calls(aborted=1)
    assert call["aborted"]


def test_an_error_after_the_first_words_is_told_and_nothing_is_said_twice(openai_target):
    error = {"after_chunks": 2, "type": "server_error", "message": "It broke."}
    openai_target.script(chunks=5, error_in_stream=error)
    stream, heard = OpenAI().chat.completions.create(model=openai_target.model, messages=HELLO, stream=True), []
    with pytest.raises(openai.APIError):
        for chunk in stream:
            heard += [choice.delta.content for choice in chunk.choices if choice.delta.content]
    assert heard == ["piece1 ", "piece2 "]
    assert len(openai_target.calls()) == 1


def test_an_error_before_the_first_words_is_another_attempt(openai_target):
    openai_target.script(chunks=3, error_in_stream={"after_chunks": 0, "type": "server_error"}, fail_first=2)
    stream = OpenAI().chat.completions.create(model=openai_target.model, messages=HELLO, stream=True)
    assert text_of(stream) == "piece1 piece2 piece3 "
    assert len(openai_target.calls()) == 3


def test_the_proxy_of_the_environment_serves_everything_but_the_loopback(openai_target, witness):
    OpenAI().chat.completions.create(model=openai_target.model, messages=HELLO)
    assert witness.asked == 0
    # The witness is awake: a call to another host does ask it.
    with pytest.raises(openai.APIConnectionError):
        OpenAI(base_url="http://provider.invalid/v1", max_retries=0).models.list()
    assert witness.asked > 0
    witness.asked = 0
