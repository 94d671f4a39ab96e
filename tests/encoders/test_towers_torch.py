"""The shortened image tower against the whole one."""

import pytest

from clipsearch.types import Preprocess
from tests.encoders.tiny import CLIP_CONFIG

pytestmark = pytest.mark.real

PREPROCESS = Preprocess((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def model(**vision):
    import torch
    from open_clip.model import CLIP

    torch.manual_seed(2)
    config = {**CLIP_CONFIG, "vision_cfg": {**CLIP_CONFIG["vision_cfg"], **vision}}
    made = CLIP(**config).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


@pytest.mark.parametrize("vision", [{}, {"ls_init_value": 0.5}, {"final_ln_after_pool": True}])
def test_the_class_token_alone_gives_the_same_rows(vision):
    import torch

    from clipsearch.encoders.towers_torch import ClassTokenTransformer, image_tower

    clip = model(**vision)
    tower = image_tower(clip, PREPROCESS)
    assert isinstance(tower.visual, ClassTokenTransformer)
    photos = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(tower.visual(photos), clip.visual(photos))


def test_a_tower_that_reads_all_tokens_stays_whole():
    from clipsearch.encoders.towers_torch import image_tower

    clip = model(pool_type="avg")
    assert image_tower(clip, PREPROCESS).visual is clip.visual
