"""The OpenAPI description, with responses that this server's own models gave."""

from typing import Any

import numpy as np
from pydantic import BaseModel

from galvote.errors import ImageError
from galvote.images import decode_cutout
from galvote.inference import LEVEL, explain, rotate
from galvote.serve import responses, schema
from galvote.serve.engine import Engine
from galvote.serve.examples import EXAMPLES

EXAMPLE = "spiral"

SAMPLES = """
With curl:

```bash
curl -F files=@a.jpg -F files=@b.fits http://127.0.0.1:8000/v1/predict
```

In Python (with a token, add `"Authorization": "Bearer TOKEN"` to the headers):

```python
import json
from pathlib import Path
from urllib.request import Request, urlopen

headers = {"Content-Type": "image/jpeg"}
request = Request("http://127.0.0.1:8000/v1/predict", Path("a.jpg").read_bytes(), headers)
for galaxy in json.load(urlopen(request))["galaxies"]:
    print(galaxy["id"], galaxy["summary"])
```

In JavaScript, on a page of this server or of an origin that `--allow-origin` names:

```javascript
const body = new FormData();
for (const file of document.querySelector("input[type=file]").files) body.append("files", file);
const answer = await fetch("http://127.0.0.1:8000/v1/predict", { method: "POST", body });
for (const galaxy of (await answer.json()).galaxies) console.log(galaxy.id, galaxy.summary);
```
"""
"""How to ask, in three languages, for the documentation's page."""

PROBLEMS = {
    400: "The body is malformed.",
    401: "The server wants a token.",
    404: "There is none.",
    408: "The upload is too slow.",
    413: "Too many bytes, pixels, files or orientations.",
    415: "The body is of a type that holds no images.",
    422: "What is asked for does not exist or is out of range, or the image cannot be read.",
    500: "Something unforeseen; the server's log says what.",
    501: "This server, or the model, cannot do that.",
    503: "The server is busy.",
    504: "There was no answer in time.",
}

Responses = dict[int | str, dict[str, Any]]


def problems(*codes: int) -> Responses:
    """Describe the errors of a path."""
    found: Responses = {
        code: {"model": schema.ProblemAnswer, "description": PROBLEMS[code]} for code in codes
    }
    if 503 in found:
        seconds = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
        found[503]["headers"] = {"Retry-After": seconds}
    return found


def takes_images(field: str, *, many: bool) -> dict[str, Any]:
    """Describe a body with images."""
    file = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": file, "minItems": 1} if many else file
    form = {"type": "object", "properties": {field: files}, "required": [field]}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    content |= {kind: {"schema": file} for kind in ("image/jpeg", "image/png", "application/fits")}
    return {"requestBody": {"required": True, "content": content}}


def make_examples(engine: Engine) -> dict[str, Any]:
    """Make examples of responses: what the default model predicts of the example galaxy."""
    predictor = engine.choose(None)
    cutout = decode_cutout(EXAMPLES[EXAMPLE].read_bytes(), predictor.geometry)
    prediction = predictor.predict_cutouts(
        np.stack([cutout, cutout]),
        tta=8,
        ids=[f"{EXAMPLE}.jpg", "notes.txt"],
        failures=[None, ImageError("not-an-image", "This is no image that galvote reads.")],
    )
    angles = np.arange(0, 360, 45, dtype=np.float32)
    found: dict[str, BaseModel] = {
        "/v1/models": responses.describe_models(engine.predictors, engine.default),
        "/v1/predict": schema.PredictAnswer(
            model=responses.describe_model(predictor),
            tta=8,
            level=LEVEL,
            galaxies=responses.describe_galaxies(prediction, predictor),
        ),
        "/v1/rotate": responses.describe_rotation(angles, rotate(predictor, cutout, angles), predictor),
    }
    if predictor.has_network:
        explanation = explain(predictor, cutout, predictor.tree.questions[0].name)
        explained = responses.describe_explanation(explanation, "gradcam", predictor)
        # An image in full would bury the rest.
        short = {"heat": [row[:4] for row in explained.heat[:4]], "overlay": explained.overlay[:48]}
        found["/v1/explain"] = explained.model_copy(update=short)
    return {path: answer.model_dump(mode="json") for path, answer in found.items()}


def complete_openapi(description: dict[str, Any], examples: dict[str, Any]) -> None:
    """Complete FastAPI's description: errors are JSON whatever the path returns, and there are examples."""
    for path, operations in description["paths"].items():
        for operation in operations.values():
            for code, response in operation["responses"].items():
                if code != "200":
                    response["content"] = {"application/json": next(iter(response["content"].values()))}
                elif path in examples:
                    response["content"]["application/json"]["example"] = examples[path]
