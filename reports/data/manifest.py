"""Read `run.json`, and refuse one that this version cannot read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from bench.schema import MANIFEST, SCHEMA_VERSION
from reports.data.errors import RunError
from reports.data.safe_text import json_of, one_line


def read_manifest(directory: Path) -> tuple[dict[str, Any], str]:
    """The manifest and the SHA-256 of its bytes; raise RunError if this version cannot read it."""
    path = directory / MANIFEST
    if not path.is_file():
        raise RunError(f"{directory} is not a complete run: no {MANIFEST} in it; name a run under results/")
    try:
        content = path.read_bytes()
        manifest = json_of(content)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({one_line(error)}); run the bench again") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise RunError(f"{path} names no schema: name a run of queue-or-task")
    if schema > SCHEMA_VERSION:
        raise RunError(
            f"{path} has schema {schema}, this version reads up to {SCHEMA_VERSION}: upgrade queue-or-task"
        )
    return dict(manifest), hashlib.sha256(content).hexdigest()
