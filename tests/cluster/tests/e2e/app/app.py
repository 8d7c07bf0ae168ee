"""An application that knows nothing of Outrigger: both official SDKs from the environment alone, without a retry of their own.

It calls until it is told to end, and says what came of it: one JSON object a line. It ends when the stream that is open has ended.
"""

import json
import os
import signal
import sys
import threading
import time

from anthropic import Anthropic
from openai import OpenAI

ended = threading.Event()
lock = threading.Lock()
openai = OpenAI(max_retries=0, timeout=30)
anthropic = Anthropic(max_retries=0, timeout=30)


def say(**what):
    with lock:
        print(json.dumps({"at": round(time.time(), 3), **what}), flush=True)


def ask_openai():
    return openai.chat.completions.create(
        model="assistant", messages=[{"role": "user", "content": "hello"}]
    ).choices[0].message.content


def ask_anthropic():
    message = anthropic.messages.create(
        model="assistant", max_tokens=64, messages=[{"role": "user", "content": "hello"}]
    )
    return message.content[0].text


def call(kind, ask):
    """Calls one after the other; every failure is a line, what went well is summed up once a second."""
    well, since = 0, 0.0
    while not ended.is_set():
        started = time.time()
        try:
            text = ask()
            if not text:
                raise ValueError("an empty answer")
            well += 1
        except Exception as error:
            say(kind=kind, started=round(started, 3), error=f"{type(error).__name__}: {error}"[:300])
        if well and time.time() - since > 0.5:
            say(kind=kind, well=well)
            well, since = 0, time.time()
        ended.wait(0.03)
    say(kind=kind, well=well)


def stream():
    """One long stream after the other. The one that is open at the end is read to its end."""
    while not ended.is_set():
        started = time.time()
        say(kind="stream", opened=True)
        pieces, finish = 0, None
        try:
            for chunk in openai.chat.completions.create(
                model="slow", stream=True, messages=[{"role": "user", "content": "hello"}]
            ):
                for choice in chunk.choices:
                    pieces += bool(choice.delta.content)
                    finish = choice.finish_reason or finish
            if finish != "stop":
                raise ValueError(f"it ended with {finish}")
            say(kind="stream", started=round(started, 3), pieces=pieces, after_the_end=ended.is_set())
        except Exception as error:
            say(kind="stream", started=round(started, 3), pieces=pieces, error=f"{type(error).__name__}: {error}"[:300])
            ended.wait(0.2)


def main():
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    say(kind="start", environment={name: os.environ.get(name) for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL")})
    work = [(call, ("openai", ask_openai)), (call, ("anthropic", ask_anthropic)), (stream, ())]
    threads = [threading.Thread(target=run, args=arguments) for run, arguments in work]
    for thread in threads:
        thread.start()
    # A signal is handled between two steps of the main thread alone.
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.05)
    say(kind="end")
    sys.exit(0)


main()
