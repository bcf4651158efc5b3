"""Examples of whole bodies, composed from those of their fields."""

from typing import Any

BY_FORMAT = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "uuid": "3f0a8a4e-6f0b-4f4e-9a57-2f1f5d0c9b11",
}


class NoExample(Exception):
    """Nothing says what such a value looks like."""


def complete_examples(document: dict[str, Any]) -> None:
    """Give every schema of an object, and every request body, an example where one follows from
    what it is made of."""
    schemas = document["components"]["schemas"]
    bodies = [
        content["schema"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]
    for schema in [*schemas.values(), *bodies]:
        if (
            schema.keys() & {"properties", "anyOf", "oneOf"}
            and not {"example", "examples"} & schema.keys()
        ):
            try:
                schema["examples"] = [example_of(schema, schemas)]
            except NoExample:
                continue


def example_of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """A value of this schema: what is said to be one, else one that its kind implies.

    Raises NoExample.
    """
    match schema:
        case {"examples": [example, *_]} | {"example": example} | {"const": example}:
            return example
        case {"enum": [example, *_]}:
            return example
        case {"default": default} if default is not None:
            return default
        case {"$ref": reference}:
            return example_of(schemas[reference.rpartition("/")[2]], schemas)
        case {"anyOf": [kind, *_]} | {"oneOf": [kind, *_]}:
            return example_of(kind, schemas)
        case {"format": name} if name in BY_FORMAT:
            return BY_FORMAT[name]
        case {"type": "boolean"}:
            return False
        case {"type": "array", "items": item}:
            return [example_of(item, schemas)]
        case {"properties": fields}:
            return {name: example_of(field, schemas) for name, field in fields.items()}
    raise NoExample
