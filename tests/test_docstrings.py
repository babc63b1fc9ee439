"""What a room exports is documented in numpydoc's form: every parameter, and what is returned."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from numpydoc.validate import validate

import galvote

CHECKS = {"GL06", "GL07", "GL08", "SS03", "SS05", "PR01", "PR02", "PR03", "PR07", "RT01", "YD01"}
"""See numpydoc.readthedocs.io/en/latest/validation.html. Types stand in the signatures."""

ROOMS = [f"galvote.{module.name}" for module in pkgutil.iter_modules(galvote.__path__) if module.ispkg]


def exported() -> Iterator[str]:
    """Yield the dotted names of what `galvote` and its rooms export, methods of classes included."""
    for room in ["galvote", *ROOMS]:
        module = importlib.import_module(room)
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            if not getattr(thing, "_is_protocol", False):  # a protocol has no parameters of its own
                yield f"{thing.__module__}.{thing.__qualname__}"
            if inspect.isclass(thing) and thing.__module__.startswith("galvote"):
                for member, value in vars(thing).items():
                    of_ours = inspect.isfunction(inspect.unwrap(getattr(value, "__func__", value)))
                    if of_ours and not member.startswith("_") and value.__doc__ is not None:
                        yield f"{thing.__module__}.{thing.__qualname__}.{member}"


@pytest.mark.parametrize("name", sorted(set(exported())))
def test_docstring(name: str) -> None:
    result = validate(name)
    errors = [(code, text) for code, text in result["errors"] if code in CHECKS]
    first = result["docstring"].strip().partition("\n")[0]
    # The first line may say what is returned.
    if first.startswith(("Return ", "Yield ", "Whether ")) or " and return " in first:
        errors = [(code, text) for code, text in errors if code not in ("RT01", "YD01")]
    assert errors == []
