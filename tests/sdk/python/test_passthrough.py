"""Endpoints that no route decides about: forwarded as they are to the provider whose `passthrough.paths` names them."""

import asyncio

import anthropic
import openai
import pytest
from openai import AsyncOpenAI, OpenAI


@pytest.fixture
def opaque(gateway):
    target = gateway.opaque()
    before = len(target.calls())
    yield target
    received = target.calls()[before:]
    assert [complaint for call in received for complaint in call["complaints"]] == []
    assert {call["headers"]["authorization"] for call in received} <= {"Bearer sk-upstream-opaque"}


def test_a_file_goes_up_and_comes_back_byte_for_byte(opaque):
    client, content = OpenAI(), bytes(range(256)) * 400
    file = client.files.create(file=("all bytes.bin", content), purpose="user_data")
    assert (file.bytes, file.filename) == (len(content), "all bytes.bin")
    assert client.files.retrieve(file.id).purpose == "user_data"
    assert client.files.content(file.id).read() == content
    assert file.id in {one.id for one in client.files.list()}
    assert client.files.delete(file.id).deleted


def test_speech_becomes_text(opaque):
    sound = b"RIFF" + bytes(100_000)
    heard = OpenAI().audio.transcriptions.create(model="whisper-1", file=("speech.wav", sound, "audio/wav"), language="en")
    assert heard.text
    parts = {part["name"]: part for part in opaque.calls()[-1]["body"]["multipart"]}
    assert (parts["file"]["bytes"], parts["file"]["content_type"], parts["language"]["value"]) == (len(sound), "audio/wav", "en")


def test_a_realtime_session_speaks_both_ways(opaque):
    with OpenAI().realtime.connect(model="gpt-realtime") as connection:
        created = connection.recv()
        assert (created.type, created.session.model) == ("session.created", "gpt-realtime")
        connection.session.update(session={"type": "realtime", "instructions": "Be brief."})
        assert connection.recv().type == "session.updated"
        connection.response.create()
        assert connection.recv().type == "response.done"


def test_a_realtime_session_works_without_blocking(opaque):
    async def talk():
        async with AsyncOpenAI().realtime.connect(model="gpt-realtime") as connection:
            created = await connection.recv()
            # Longer than any buffer on the way.
            await connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "word " * 40_000}]}
            )
            return created.type, (await connection.recv()).type

    assert asyncio.run(talk()) == ("session.created", "response.done")


def test_an_endpoint_that_nobody_names_is_not_found_and_the_error_says_what_to_write(opaque):
    before = len(opaque.calls())
    with pytest.raises(openai.NotFoundError, match="passthrough"):
        OpenAI().batches.list()
    with pytest.raises(anthropic.NotFoundError, match="passthrough"):
        anthropic.Anthropic().messages.batches.list()
    assert len(opaque.calls()) == before
