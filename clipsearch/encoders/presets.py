"""The models that have a name of their own, and why each was chosen.

Figures are open_clip's own tables (zero-shot ImageNet top-1; XM3600 and Flickr30k text-to-image
recall at 1). Every licence allows everyday use, commercial too: apple-amlr (MobileCLIP, DFN) and
CC-BY-NC (nllb-clip, MetaCLIP) models were left out for that reason, however good.

- `starter` is ours: small, shipped with the package, needs no download, and knows only the
  categories it was trained on. Its weights are MIT, but part of its training photos were given
  for non-commercial research: whoever needs certainty takes another one.
- `fast` reads 224 px instead of 256: about a quarter less work per photo than `balanced`.
- `balanced` is the strongest ViT-B/32 under a free licence: 72.8 % ImageNet, 64.9 % Flickr30k.
- `best` is SigLIP 2 at 384 px: 84.1 % ImageNet. It wants a GPU.
- `multilingual` has the best measured Chinese among free models of moderate size: 53.7 % XM3600 zh,
  against 2.4 % for `balanced`. SigLIP 2 was trained on many languages too, but its Chinese is not
  in open_clip's table, and a model is not recommended here for what was never measured.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preset:
    """A model with a name of its own.

    `architecture` and `tag` are open_clip's, both None for the model shipped with the package.
    `download` is the approximate number of bytes fetched at first use; `languages` what it
    understands; `extra` the optional dependency group it needs, or None.
    """

    name: str
    architecture: str | None
    tag: str | None
    licence: str
    languages: str
    download: int
    purpose: str
    extra: str | None = None


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="starter",
        architecture=None,
        tag=None,
        licence="MIT; trained in part on photos for research use, see its card",
        languages="English, the words it was trained on",
        download=0,
        purpose="works at once and offline; knows everyday categories only",
    ),
    Preset(
        name="fast",
        architecture="ViT-B-32",
        tag="datacomp_xl_s13b_b90k",
        licence="MIT",
        languages="English",
        download=605_000_000,
        purpose="a quarter less work per photo than balanced, slightly less exact",
    ),
    Preset(
        name="balanced",
        architecture="ViT-B-32-256",
        tag="datacomp_s34b_b86k",
        licence="MIT",
        languages="English",
        download=605_000_000,
        purpose="the default: good answers at the speed of an ordinary processor",
    ),
    Preset(
        name="best",
        architecture="ViT-SO400M-16-SigLIP2-384",
        tag="webli",
        licence="Apache-2.0",
        languages="many, best in English",
        download=4_550_000_000,
        purpose="the best answers; slow without a GPU",
        extra="multilingual",
    ),
    Preset(
        name="multilingual",
        architecture="xlm-roberta-base-ViT-B-32",
        tag="laion5b_s13b_b90k",
        licence="MIT",
        languages="about 100, Chinese among them",
        download=1_470_000_000,
        purpose="queries in other languages than English",
        extra="multilingual",
    ),
)


def preset(name: str) -> Preset | None:
    """The preset called `name`, or None."""
    return next((each for each in PRESETS if each.name == name), None)
