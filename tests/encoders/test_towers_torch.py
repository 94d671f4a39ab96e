"""The shortened image tower against the whole one."""

from dataclasses import replace

import pytest

from clipsearch.types import Preprocess
from tests.encoders.tiny import CLIP_CONFIG

pytestmark = pytest.mark.real

PREPROCESS = Preprocess((32, 32), (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))


def model(**vision):
    import torch
    from open_clip.model import CLIP

    torch.manual_seed(2)
    config = {**CLIP_CONFIG, "vision_cfg": {**CLIP_CONFIG["vision_cfg"], **vision}}
    made = CLIP(**config).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


@pytest.mark.parametrize(
    "vision",
    [
        {},
        {"ls_init_value": 0.5},
        {"final_ln_after_pool": True},
        {"patch_size": 8},
        {"no_ln_pre": True},
        {"image_size": [32, 48]},
    ],
)
def test_the_class_token_alone_gives_the_same_rows(vision):
    import torch

    from clipsearch.encoders.towers_torch import image_tower, original_image_tower
    from clipsearch.encoders.vit_torch import ClassTokenTransformer

    clip = model(**vision)
    preprocess = replace(PREPROCESS, size=clip.visual.image_size)
    original, tower = (make(clip, preprocess) for make in (original_image_tower, image_tower))
    assert isinstance(tower.visual, ClassTokenTransformer)
    photos = torch.randint(0, 256, (3, *preprocess.size, 3), dtype=torch.uint8)
    with torch.inference_mode():
        rows = original(photos)
        torch.testing.assert_close(tower(photos), rows)
        # The model that it was made of still does what it did.
        assert torch.equal(original(photos), rows)


@pytest.mark.parametrize("vision", [{"pool_type": "avg"}, {"patch_size": 12}])
def test_a_tower_of_another_kind_stays_as_it_is(vision):
    from clipsearch.encoders.towers_torch import image_tower

    clip = model(**vision)
    assert image_tower(clip, PREPROCESS).visual is clip.visual
