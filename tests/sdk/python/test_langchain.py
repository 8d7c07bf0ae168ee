"""LangChain's chat models and embeddings, which bring their own ideas of defaults."""

import asyncio

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

CHATS = {"openai": lambda target, **more: ChatOpenAI(model=target.model, **more), "anthropic": lambda target, **more: ChatAnthropic(model=target.model, **more)}


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"It rains in {city}."


@pytest.fixture(params=CHATS)
def chat(request, target):
    """A target and what makes LangChain's model for it."""
    made = target(request.param)
    return made, lambda **more: CHATS[request.param](made, **more)


def test_invoke(chat):
    target, model = chat
    target.script(text="Hello there.", usage={"input": 7, "output": 5})
    answer = model().invoke("Say hello.")
    assert answer.content == "Hello there."
    assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == (7, 5)


def test_stream(chat):
    target, model = chat
    target.script(chunks=4)
    pieces = [text for chunk in model().stream("Say hello.") if (text := chunk.text)]
    assert pieces == [f"piece{number} " for number in range(1, 5)]


def test_tools(chat):
    target, model = chat
    target.script(tool_calls=[{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "weather", "arguments": {"city": "Quito"}}])
    bound = model().bind_tools([weather])
    asked = bound.invoke("Oslo or Quito?")
    assert [call["args"] for call in asked.tool_calls] == [{"city": "Oslo"}, {"city": "Quito"}]
    results = [weather.invoke(call) for call in asked.tool_calls]
    told = bound.invoke([("user", "Oslo or Quito?"), asked, *results])
    assert told.text


def test_structured_output(chat):
    _, model = chat
    assert isinstance(model().with_structured_output(Person).invoke("Who is it?"), Person)


def test_many_at_once(chat):
    target, model = chat
    target.script(echo=True)

    async def ask():
        return await model().abatch([f"I am number {number}." for number in range(8)])

    assert [answer.text for answer in asyncio.run(ask())] == [f"I am number {number}." for number in range(8)]


def test_retries_are_not_multiplied(chat):
    target, model = chat
    target.script(status=500)
    with pytest.raises(Exception, match=r"(?i)error"):
        model(max_retries=2).invoke("Say hello.")
    assert len(target.calls()) == 3


def test_embeddings(openai_target):
    # Splitting into tokens needs a vocabulary from the network; a gateway's models have no such table anyway.
    vectors = OpenAIEmbeddings(model=openai_target.model, check_embedding_ctx_length=False).embed_documents(["one", "two"])
    assert [len(vector) for vector in vectors] == [8, 8]
    assert vectors[0] != vectors[1]
