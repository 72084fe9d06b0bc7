"""`python -m zoo.fec_download`: fetches the pictures of Google's comparison set and cuts the faces out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.command import run_command
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.data.fec import FecTriplets
    from zoo.data.fec_download import Limits

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 even where links are dead, as some always are."""
    parser = argparse.ArgumentParser(
        prog="python -m zoo.fec_download",
        description="Fetch the pictures that a table of Google's facial expression comparison set (FEC) "
        "names, and cut out its faces. Run it again to go on where it stopped.",
        epilog="FOLDER gets images/ (as fetched), faces/ (48x48 gray PNG) and skipped.csv (url, reason, "
        "final). Table: https://research.google/resources/datasets/google-facial-expression/",
    )
    parser.add_argument("table", type=Path, help="faceexp-comparison-data-train-public.csv, or -test-")
    parser.add_argument("--folder", type=Path, default=Path("data/fec"), help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=16, help="downloads at a time (default: %(default)s)")
    parser.add_argument("--processes", type=int, help="for cutting out faces (default: one a core)")
    parser.add_argument("--rows", type=int, help="take only the first ROWS triplets")
    parser.add_argument(
        "--size-limit", type=float, default=20, metavar="MIB", help="largest picture (default: %(default)s)"
    )
    parser.add_argument("--retries", type=int, default=3, help="more tries a link (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=60, help="seconds a link (default: %(default)s)")
    parser.add_argument("--retry-dead", action="store_true", help="ask again for links found dead before")
    parser.add_argument("--no-faces", action="store_true", help="fetch only; cut out no faces")
    arguments = parser.parse_args(argv)
    for option in ("threads", "processes", "rows", "size_limit", "timeout"):
        value = getattr(arguments, option)
        if value is not None and value <= 0:
            raise ConfigError(f"--{option.replace('_', '-')} {value:g}: a number above 0 is required")
    if arguments.retries < 0:
        raise ConfigError(f"--retries {arguments.retries}: 0 or more is required")

    import numpy as np

    from zoo.data.fec import read_fec
    from zoo.data.fec_download import Limits

    triplets = read_fec(arguments.table)
    if arguments.rows is not None:
        triplets = triplets.select(np.arange(min(arguments.rows, len(triplets))))
    limits = Limits(
        bytes=int(arguments.size_limit * 1024 * 1024),
        wait=min(10.0, arguments.timeout),
        seconds=arguments.timeout,
        retries=arguments.retries,
    )
    _fetch(triplets, arguments.folder, arguments.threads, limits, arguments.retry_dead)
    if not arguments.no_faces:
        _crop(triplets, arguments.folder, arguments.processes)
    return 0


def _fetch(triplets: FecTriplets, folder: Path, threads: int, limits: Limits, retry_dead: bool) -> None:
    from collections import Counter
    from contextlib import closing

    from zoo.console import progress_bar, stderr
    from zoo.data.fec_download import download_images

    addresses = triplets.addresses()
    report = folder / "skipped.csv"
    counts: Counter[str] = Counter()
    downloads = download_images(
        addresses, folder / "images", threads=threads, limits=limits, report=report, retry_final=retry_dead
    )
    with closing(downloads), progress_bar(stderr()) as progress:
        bar = progress.add_task("pictures", total=len(addresses), status="")
        for result in downloads:
            counts["dead" if result.path is None else "fetched" if result.fresh else "here before"] += 1
            progress.update(bar, advance=1, status=f"{counts['dead']} dead")
    print(
        f"pictures: {len(addresses)} named, {counts['fetched']} fetched, {counts['here before']} here before"
    )
    print(f"dead links: {counts['dead']}" + (f", listed in {report}" if counts["dead"] else ""))


def _crop(triplets: FecTriplets, folder: Path, processes: int | None) -> None:
    from contextlib import closing

    from zoo.console import progress_bar, stderr
    from zoo.data.fec_faces import crop_faces

    total = len(triplets.crops())
    done, unreadable = 0, 0
    crops = crop_faces(triplets, folder / "images", folder / "faces", processes=processes)
    with closing(crops), progress_bar(stderr()) as progress:
        bar = progress.add_task("faces", total=total, status="")
        for crop in crops:
            done += crop.faces
            if crop.reason:
                unreadable += 1
                progress.console.print(f"{crop.url}: {crop.reason}")
            progress.update(bar, completed=done)
    print(
        f"faces: {done} of {total} in {folder / 'faces'}"
        + f"; {unreadable} pictures failed" * bool(unreadable)
    )


if __name__ == "__main__":
    run_command(main)
