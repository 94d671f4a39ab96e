"""Mix an earlier and a later edition of exported weights (WiSE-FT; see training/interpolation.py).

python recipes/mix.py EARLIER LATER OUT --weight 0.9
"""

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from clipsearch.training.interpolation import interpolate

WEIGHTS = "open_clip_model.safetensors"


def main() -> None:
    """Read both folders, write the third."""
    parser = argparse.ArgumentParser(description="Mix two editions of exported weights.")
    parser.add_argument("earlier", type=Path)
    parser.add_argument("later", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weight", type=float, required=True, help="of the later one, 0..1")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in ("open_clip_config.json", "vocabulary.txt"):
        shutil.copy(given.later / name, given.out / name)
    mixed = interpolate(
        load_file(given.earlier / WEIGHTS), load_file(given.later / WEIGHTS), given.weight
    )
    save_file(mixed, given.out / WEIGHTS, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
