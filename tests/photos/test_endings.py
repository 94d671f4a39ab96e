import pytest
from PIL import Image

from clipsearch.errors import DamagedPhoto
from clipsearch.photos.endings import require_end
from tests.photos.samples import encoded, noise

ANIMATED = {"save_all": True, "append_images": [noise(32, 24, 1), noise(32, 24, 2)]}


@pytest.mark.parametrize("name", ["GIF", "PNG"])
@pytest.mark.parametrize("options", [{}, ANIMATED], ids=["still", "animated"])
def test_every_missing_byte_of_the_end_is_noticed(name: str, options: dict[str, object]) -> None:
    data = encoded(noise(32, 24), name, **options)
    require_end(name, data)
    require_end(name, data + b"junk that some program added")
    for length in range(len(data) // 2, len(data)):
        with pytest.raises(DamagedPhoto, match="end of the file is missing"):
            require_end(name, data[:length])


def test_gifs_with_a_table_for_each_frame_and_bytes_between_blocks() -> None:
    data = encoded(Image.new("P", (8, 8)), "GIF")
    frame = data.index(b"\x2c")
    local = data[frame : frame + 9] + b"\x80" + bytes(6) + data[frame + 10 : -1]
    require_end("GIF", data[:frame] + local + b"\0\0" + local + b";")


def test_other_formats_are_the_business_of_their_decoders() -> None:
    require_end("BMP", b"BM")
