"""One row for each exception that the SDKs document, with the number of calls that reached the provider: the SDK's own retries, which
are on here, must not multiply those of the route."""

import json
import socket

import anthropic
import openai
import pytest
from gateway import SUITE

ROWS = json.loads((SUITE / "errors.json").read_text())
HELLO = [{"role": "user", "content": "Say hello."}]
SDKS = {"openai": openai, "anthropic": anthropic}


def call(sdk, model, stream=False, **options):
    """One call with a client of the environment, to its end."""
    if sdk is openai:
        request = openai.OpenAI(**options).chat.completions.create
        answer = request(model=model, messages=HELLO, stream=stream)
    else:
        request = anthropic.Anthropic(**options).messages.create
        answer = request(model=model, messages=HELLO, max_tokens=100, stream=stream)
    return list(answer) if stream else answer


def code_of(error):
    """OpenAI's errors have a code; Anthropic's say the same in the sentence."""
    return error.body.get("code") if isinstance(error, openai.APIError) else None


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("provider", ["openai", "anthropic"], ids=lambda name: f"on-{name}")
@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_row(row, client, provider, stream, target):
    served, sdk = target(provider).script(**row["script"]), SDKS[client]
    expected = getattr(sdk, row["class"])
    with pytest.raises(expected) as raised:
        call(sdk, served.model, stream)
    error = raised.value
    assert len(served.calls()) == row["calls"]
    if row["class"] == "InternalServerError":
        assert error.status_code >= 500
    if "status" in row:
        assert error.status_code == row["status"]
    if "code" in row and sdk is openai:
        assert code_of(error) == row["code"]
    assert error.response.headers["x-should-retry"] == "false"
    assert error.response.headers["x-request-id"]
    assert f"sk-upstream-{served.name}" not in str(error)


@pytest.mark.parametrize("sdk", SDKS.values(), ids=SDKS)
def test_a_model_that_no_route_has_is_not_found(sdk, openai_target):
    with pytest.raises(sdk.NotFoundError) as raised:
        call(sdk, "no-such-model")
    assert "no-such-model" in str(raised.value)
    if sdk is openai:
        assert code_of(raised.value) == "model_not_found"
    assert openai_target.calls() == []


@pytest.mark.parametrize("sdk", SDKS.values(), ids=SDKS)
def test_a_call_that_makes_no_sense_is_a_bad_request_and_reaches_nobody(sdk, openai_target):
    with pytest.raises(sdk.BadRequestError):
        call(sdk, model=17)
    assert openai_target.calls() == []


@pytest.mark.parametrize("sdk", SDKS.values(), ids=SDKS)
def test_a_data_plane_that_is_not_there_is_a_connection_error(sdk, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("OPENAI_BASE_URL", f"{closed}/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", closed)
    with pytest.raises(sdk.APIConnectionError):
        call(sdk, "any", max_retries=0)


@pytest.mark.parametrize("sdk", SDKS.values(), ids=SDKS)
def test_a_client_that_waits_no_longer_times_out_by_itself(sdk, target):
    """The client says that it would wait for a minute and then does not, so that the data plane cannot be the one that gives up."""
    served = target("openai" if sdk is openai else "anthropic").script(latency_ms=60_000)
    patient = {"x-stainless-read-timeout": "60", "x-stainless-timeout": "60"}
    with pytest.raises(sdk.APITimeoutError):
        call(sdk, served.model, timeout=0.5, max_retries=0, default_headers=patient)
    [received] = served.calls(aborted=1)
    assert received["aborted"]
