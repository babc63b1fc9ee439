"""Requests of all sorts that the OpenAPI description allows or forbids, made up by schemathesis."""

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
PATHS = [
    "/healthz", "/readyz", "/v1/models", "/v1/examples", "/v1/examples/{name}.jpg",
    "/v1/predict", "/v1/explain", "/v1/rotate", "/v1/field",
]  # fmt: skip


@pytest.fixture(scope="module")
def described(client):
    async def app_that_lives_on(scope, receive, send):
        # schemathesis starts and ends an application for each request.
        if scope["type"] == "http":
            await client.app(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    return schemathesis.openapi.from_asgi("/openapi.json", app_that_lives_on)


def test_every_path_is_tried(described):
    assert set(described.raw_schema["paths"]) == {*PATHS, "/metrics"}


# So schemathesis does.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_one_that_the_description_promises(described, path):
    operation = next(iter(described[path].values()))

    @hypothesis.given(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    )
    @hypothesis.settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case):
        case.call_and_validate(checks=CHECKS)

    ask()
