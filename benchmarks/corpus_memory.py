"""Does memory depend on how long the text is? Packs, trains and evaluates on 10 MB and on 40 MB of one text.

Each command is a process of its own, and what counts is the kernel's peak of it (`ru_maxrss`, as VmHWM):
libraries, weights, counts and all. Both have the same settings, among them how much of the training text is
counted. The text is the dictionary of English in Debian's package dict-gcide, 40 MB, and its first 10 MB.

`python -m benchmarks.corpus_memory`; `apt-get install dict-gcide` brings it, or `--text PATH` names one.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.record import RESULTS, keep

DICTIONARY = Path("/usr/share/dictd/gcide.dict.dz")
SHORT_BYTES = 10**7
KILOBYTE = 1024
MEGABYTE = 2**20
SETTINGS = {"reference_bytes": 2**22, "num_layers": 1, "d_model": 32, "dim_feedforward": 64}
"""What is counted, and a small model, so that going through the held-out tenth takes a minute and not ten."""

STEPS = 30


@dataclass(frozen=True)
class Peak:
    """What one command took on one text."""

    command: str
    text_bytes: int
    peak_bytes: int
    processor_s: float


def text_of(path: Path) -> bytes:
    """Return the text, unpacked where it is gzip's."""
    if not path.exists():
        raise SystemExit(f"there is no {path}: apt-get install dict-gcide, or give --text PATH.")
    return gzip.decompress(path.read_bytes()) if path.suffix in {".dz", ".gz"} else path.read_bytes()


def run(*arguments: str) -> tuple[int, float, str]:
    """Run a command of BitLM; return its peak in bytes, its processor time, and what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bitlm", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None, "it is a pipe"
        told = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_maxrss * KILOBYTE, used.ru_utime + used.ru_stime, told


def measure(text: bytes, folder: Path) -> tuple[list[Peak], dict[str, object]]:
    """Pack a text, train on it and evaluate; return what each took, and what evaluation said."""
    folder.mkdir()
    source, packed, data = folder / "text", folder / "packed", ("--data-dir", str(folder / "data"))
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    source.write_bytes(text)
    commands = {
        "build": ("data", "build", str(source), "--output", str(packed), "--json"),
        "train": (
            *("train", "--corpus", str(packed), "--size", "tiny", "--steps", str(STEPS), "--threads", "1"),
            *(*settings, "--json", *data),
        ),
        "evaluate": ("evaluate", "--json", *data),
    }
    peaks, told = [], ""
    for name, arguments in commands.items():
        peak_bytes, processor_s, told = run(*arguments)
        source.unlink(missing_ok=True)
        peaks.append(Peak(name, len(text), peak_bytes, processor_s))
        print(
            f"{name:10}{len(text) / 1e6:6.1f} MB{peak_bytes / MEGABYTE:9.1f}{processor_s:8.1f} s", flush=True
        )
    return peaks, json.loads(told.splitlines()[-1])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, default=DICTIONARY, help="a file; .dz and .gz are unpacked")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    text = text_of(options.text)
    run("compile")  # or the first command would take what compiling takes
    print(f"{'command':10}{'text':>9}{'peak MB':>9}{'processor':>10}")
    rows, found = [], []
    with TemporaryDirectory(prefix="bitlm-") as folder:
        for part in (text[:SHORT_BYTES], text):
            peaks, answer = measure(part, Path(folder) / str(len(part)))
            rows += peaks
            found.append({"text_bytes": len(part), "bits_per_byte": answer["bits_per_byte"]})
    short, long = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    ratios = {
        ours.command: theirs.peak_bytes / ours.peak_bytes for ours, theirs in zip(short, long, strict=True)
    }
    print("peak with all of it to that with the first 10 MB:", ratios)
    keep(
        options.output,
        "corpus_memory",
        by=__file__,
        settings={**SETTINGS, "steps": STEPS, "size": "tiny"},
        rows=[asdict(row) for row in rows],
        ratios=ratios,
        evaluated=found,
    )


if __name__ == "__main__":
    main()
