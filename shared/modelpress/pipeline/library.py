"""Pipelines that other pipelines name: recipes, and files relative to the one that names them."""

from __future__ import annotations

from pathlib import Path

from modelpress.errors import InputError, SpecError
from modelpress.pipeline.spec import PipelineSpec, read_pipeline

FILE_SUFFIXES = (".yaml", ".yml")


class Library:
    """Reads each pipeline once."""

    def __init__(self) -> None:
        self._read: dict[str, PipelineSpec] = {}

    def find(self, name: str, asker: PipelineSpec) -> PipelineSpec:
        """The pipeline that ``asker`` calls ``name``: a recipe, or a path ending in .yaml or .yml.

        Raises:
            NotFoundError: there is no such recipe or file.
            InputError: it cannot be read; or ``asker`` is no file, and so has no place that a path is relative to.
        """
        if not name.endswith(FILE_SUFFIXES):
            return self._recipe(name)
        if asker.folder is None:
            raise InputError(f"only a pipeline in a file can name another file, and {asker.source} is none")
        try:
            path = (asker.folder / name).resolve()
        except (OSError, RuntimeError) as e:  # RuntimeError: links in a circle, in Python up to 3.12
            raise InputError(f"'{asker.folder / name}' leads nowhere: {e}") from e
        return self._file(path)

    def _recipe(self, name: str) -> PipelineSpec:
        from modelpress.recipes import load_recipe

        if name not in self._read:
            self._read[name] = load_recipe(name).spec
        return self._read[name]

    def _file(self, path: Path) -> PipelineSpec:
        if str(path) not in self._read:
            try:
                self._read[str(path)] = read_pipeline(path)
            except SpecError as e:
                fault = e.violations[0]
                raise InputError(f"'{path}' cannot be read: line {fault.line}: {fault.message}") from e
        return self._read[str(path)]
