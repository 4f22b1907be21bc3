"""Pipelines as a user names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelpress.pipeline.library import FILE_SUFFIXES
from modelpress.pipeline.spec import PipelineSpec, read_pipeline, spec_of

PipelineLike = str | Path | Mapping[str, Any]


def load_pipeline(pipeline: PipelineLike) -> PipelineSpec:
    """A pipeline as written: plain data, a file (a path, or text that ends in .yaml or .yml), or a recipe's name.

    Raises:
        NotFoundError: there is no such file or recipe.
        SpecError: the file is no YAML.
    """
    if isinstance(pipeline, Mapping):
        return spec_of(pipeline)
    if isinstance(pipeline, Path) or pipeline.endswith(FILE_SUFFIXES):
        return read_pipeline(Path(pipeline))
    from modelpress.recipes import load_recipe

    return load_recipe(pipeline).spec
