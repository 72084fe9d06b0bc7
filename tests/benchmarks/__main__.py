"""`python -m tests.benchmarks [NAME …] --data fer2013.csv`: run the measurements, write one table."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from zoo.command import run_command
from zoo.console import stderr, stdout
from zoo.errors import ConfigError

__all__ = ["main"]

_QUICK = ("startup", "reading", "training_path", "inference", "memory", "app_stages", "app_browser")
_LONG = (
    "dear_networks",
    "workers",
    "search_overhead",
    "search_quality",
    "time_to_quality",
    "class_balance",
    "app_load",
)
_NAMES = f"default: {' '.join(_QUICK)}; also: {' '.join(_LONG)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; returns 0 whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=_NAMES)
    parser.add_argument("--data", type=Path, metavar="PATH", help="fer2013.csv; default: drawn faces")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks"), help="OUT.json and OUT.md are written"
    )
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - {*_QUICK, *_LONG})
    if unknown:
        raise ConfigError(f"benchmark {unknown[0]!r} is unknown; known are {', '.join((*_QUICK, *_LONG))}")
    if not options.out.parent.is_dir():
        raise ConfigError(f"--out is {options.out}; required: a name in a folder that exists")
    rows: list[dict[str, Any]] = []
    for name in options.names or _QUICK:
        started = time.perf_counter()
        figures = importlib.import_module(f"tests.benchmarks.{name}").measure(options.data)
        stderr().print(f"{name}: {time.perf_counter() - started:.0f} s")
        rows += [{"benchmark": name, **asdict(figure)} for figure in figures]
        _write(rows, options.data, options.out)
    table = Table("measure", "value", "target", "reached", "detail", title=_machine())
    for row in rows:
        table.add_row(*_cells(row))
    stdout().print(table)
    return 0


def _write(rows: list[dict[str, Any]], data: Path | None, out: Path) -> None:
    """What was measured so far, as OUT.json and OUT.md."""
    described = {"machine": _machine(), "date": time.strftime("%Y-%m-%d"), "data": _data(data)}
    out.with_suffix(".json").write_text(
        json.dumps({**described, "figures": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    lines = ["| measure | value | target | reached | detail |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    text = f"{described['machine']}; {described['data']}; {described['date']}\n\n" + "\n".join(lines) + "\n"
    out.with_suffix(".md").write_text(text, encoding="utf-8")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    reached = {True: "yes", False: "no", None: ""}[row["reached"]]
    return row["measure"], f"{row['value']:.3g} {row['unit']}", row["target"], reached, row["detail"]


def _machine() -> str:
    import os

    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
    return f"{os.cpu_count()} cores of {name} ({platform.machine()}), {gpu}, Python {sys.version.split()[0]}"


def _data(path: Path | None) -> str:
    return path.name if path else "drawn faces"


if __name__ == "__main__":
    run_command(main)
