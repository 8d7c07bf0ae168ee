"""An application that makes its calls in its first moments and ends: it has no patience with a gateway that is not there yet.

The first call is made with nothing but Python itself, before the seconds that it takes to load an SDK. One JSON object a line; it fails if a call does.
"""

import http.client
import json
import os
import sys
import time

BORN = time.time()


def say(**what):
    print(json.dumps({"at": round(time.time(), 3), **what}), flush=True)


def bare(base):
    """Status and error of a call that no SDK makes."""
    host = base.removeprefix("http://").split("/")[0]
    connection = http.client.HTTPConnection(host, timeout=30)
    body = json.dumps({"model": "assistant", "messages": [{"role": "user", "content": "hello"}]})
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    return answer.status, said.get("error", {}).get("message")


def sdks():
    from anthropic import Anthropic
    from openai import OpenAI

    hello = {"model": "assistant", "messages": [{"role": "user", "content": "hello"}]}
    yield OpenAI(max_retries=0, timeout=30).chat.completions.create(**hello).choices[0].message.content
    yield Anthropic(max_retries=0, timeout=30).messages.create(max_tokens=64, **hello).content[0].text


status, error = bare(os.environ["OPENAI_BASE_URL"])
say(kind="first", born=round(BORN, 3), status=status, error=error)
if status != 200:
    sys.exit(1)
for text in sdks():
    say(kind="answer", text=text)
