"""The reference page is that of the model, and every field explains itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from pinfold.config.model import Config
from pinfold.config.reference import reference

PAGE = Path(__file__).parents[3] / "docs/reference/config.md"


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for one in (field.annotation, *get_args(field.annotation)):
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from models(one)


def test_the_page_is_what_the_model_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "stale: make docs"


def test_every_field_has_its_sentence() -> None:
    bare = [
        f"{model.__name__}.{name}"
        for model in models(Config)
        for name, field in model.model_fields.items()
        if not (field.description or "").endswith((".", '"'))
    ]
    assert bare == []
