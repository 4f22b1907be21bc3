"""The JSON Schema of pipelines that use the shipped methods: ``python -m docs.schema`` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

from modelpress.catalogue import load_catalogue
from modelpress.pipeline.schema import pipeline_schema

FILE = Path(__file__).resolve().parent / "pipeline.schema.json"


def text() -> str:
    """What the file holds when it is up to date."""
    return json.dumps(pipeline_schema(load_catalogue()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
