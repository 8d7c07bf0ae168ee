"""What every test gets: the environment of an application, and targets that nobody else uses."""

import os

import pytest
from gateway import Gateway, Witness, environment, foreign


@pytest.fixture(scope="session")
def witness():
    witness = Witness()
    yield witness
    witness.close()


@pytest.fixture(scope="session")
def gateway():
    gateway = Gateway()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="session", autouse=True)
def application(gateway, witness):
    for name in list(os.environ):
        if foreign(name):
            del os.environ[name]
    os.environ.update(environment(gateway, witness))


@pytest.fixture
def target(gateway, witness):
    """Makes targets: `target("openai")`. What the providers received must be what a provider accepts from a good client."""
    made = []

    def make(dialect):
        made.append(gateway.target(dialect))
        return made[-1]

    yield make
    complaints = [complaint for target in made for call in target.calls() for complaint in call["complaints"]]
    assert complaints == []
    assert witness.asked == 0, "a call to the loopback went to the proxy"


@pytest.fixture
def openai_target(target):
    return target("openai")


@pytest.fixture
def anthropic_target(target):
    return target("anthropic")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A test that fails shows what the data plane said meanwhile."""
    outcome = yield
    report = outcome.get_result()
    gateway = getattr(item, "funcargs", {}).get("gateway")
    if report.failed and gateway is not None:
        report.sections.append(("the data plane's log, its end", gateway.log()[-4000:]))
