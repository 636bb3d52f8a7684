"""Search for inputs that break a target, guided by coverage (atheris, libFuzzer).

    pip install atheris
    python tests/fuzz/run.py                          every target for 15 seconds
    python tests/fuzz/run.py parser --seconds 600     one target for long
    python tests/fuzz/run.py --merge                  add what found new paths to the corpus, smallest inputs first

New inputs go to .build/fuzz/<target>; one that fails is written there too, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
FOUND = ROOT / ".build" / "fuzz"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("targets", nargs="*", help="names of targets.py; default: all")
    arguments.add_argument("--seconds", type=int, default=15, help="for each target (default: 15)")
    arguments.add_argument("--merge", action="store_true", help="keep what was found in the corpus")
    options = arguments.parse_args()
    failed = []
    for name in options.targets or sorted(folder.name for folder in CORPUS.iterdir()):
        found = FOUND / name
        found.mkdir(parents=True, exist_ok=True)
        kept = CORPUS / name
        command = [sys.executable, __file__, "--inside", name]
        if options.merge:
            command += ["-merge=1", "-max_len=512", str(kept), str(found)]
        else:
            command += [
                f"-max_total_time={options.seconds}",
                "-timeout=10",
                "-rss_limit_mb=1024",
                "-max_len=4096",
                "-print_final_stats=1",
                f"-artifact_prefix={found}/failed-",
                str(found),
                str(kept),
            ]
        print(f"== {name}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    print("failed: " + ", ".join(failed) if failed else "no target failed")
    return 1 if failed else 0


def fuzz(name: str, arguments: list[str]) -> None:
    """Run one target in this process, under libFuzzer."""
    try:
        import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris (CPython 3.11 to 3.13 on Linux or macOS)")
    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["odac"]):
        from tests.fuzz.targets import TARGETS
    # To merge, libFuzzer starts itself again in a shell, by this name.
    own_name = shlex.join([sys.executable, __file__, "--inside", name])
    atheris.Setup([own_name, *arguments], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        fuzz(sys.argv[2], sys.argv[3:])  # does not return: libFuzzer ends the process
    sys.exit(main())
