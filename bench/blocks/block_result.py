"""What a block leaves in the tables of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.measures.load.cpu_shares import CpuShares, own_row
from bench.plan.blocks import BlockSpec
from bench.storage.run_directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockResult:
    """The rows of one block that was measured."""

    spec: BlockSpec
    #: What was spent in its window.
    spent: CpuShares
    #: The rows of the tables that its measure has, by table; an empty one changes nothing.
    tables: Mapping[str, pd.DataFrame | Sequence[Mapping[str, Any]]]
    #: Its row of `blocks.csv` (`bench.plan.blocks.block_row`).
    row: Mapping[str, object]

    def append_to(self, directory: RunDirectory) -> str:
        """Append every row, that of `blocks.csv` last; return why the block does not count, or nothing.

        A block whose row stands in `blocks.csv` is whole: a run that is resumed keeps it.
        """
        for table, rows in self.tables.items():
            if isinstance(rows, pd.DataFrame):
                directory.append_frame(table, rows)
            elif rows:
                directory.append(table, rows)
        spec = self.spec
        directory.append("own", [own_row(spec.name, spec.measure, spec.side.name, self.spent)])
        directory.append("blocks", [self.row])
        return str(self.row.get("reason", ""))
