"""What people may search photos for: queries to measure an index with."""

from collections.abc import Callable
from pathlib import Path

from clipsearch.encoders import load_towers
from clipsearch.errors import ClipsearchError
from clipsearch.types import Floats, ModelInfo

_WORDS = """
    dog, cat, horse, bird, cow, butterfly, fish in water, elephant, insect, spider
    beach, mountain, forest, lake, river, waterfall, desert, island, sea, meadow
    sunset, sunrise, snow, rain, fog, night sky, stars, moon, lightning, rainbow
    city, street, bridge, church, castle, skyscraper, house, garden, market, station
    car, bus, train, bicycle, motorcycle, boat, ship, aeroplane, tractor, truck
    pizza, cake, bread, fruit, vegetables, salad, soup, coffee, glass of wine, breakfast
    baby, child playing, old man, woman laughing, bride, family, friends, crowd, portrait, selfie
    wedding, birthday party, concert, Christmas tree, fireworks, carnival, picnic, dinner, parade,
    camping, football, tennis, swimming, skiing, surfing, hiking, running, climbing, dancing, chess
    kitchen, living room, bedroom, bathroom, office, classroom, museum, library, shop, stairs
    chair, table, lamp, window, door, mirror, clock, books, computer, telephone
    shoes, hat, dress, jacket, glasses, handbag, umbrella, jewellery, watch, T-shirt
    receipt, document, screenshot, handwriting, map, poster, sign, newspaper, ticket, whiteboard
    flower, rose, tree, autumn leaves, mushroom, grass, palm tree, cactus, fern, moss
    black and white, close-up, from above, reflection, shadow, silhouette, blurry, red, green, blue
    a dog running on the beach, a cat sleeping on a sofa, two people on a bench, a cup on a table
    a red car in front of a house, children building a sandcastle, a view from an aeroplane window
    a street at night in the rain, a man with a guitar, my passport, snow-covered roofs
    a plate of food on a wooden table, a boat on a lake at sunset, something written on a wall
"""
EVERYDAY = tuple(
    query.strip()
    for line in _WORDS.strip().splitlines()
    for query in line.split(",")
    if query.strip()
)
# As people type them, and as the model has seen them.
QUERIES = (*EVERYDAY, *(f"a photo of {words}" for words in EVERYDAY))


def everyday_queries(info: ModelInfo, models_dir: Path) -> Callable[[], Floats | None]:
    """A function that gives the unit rows (queries, dim) of everyday words by an installed model.

    It opens the text tower when it is called, and gives None when that is not possible.
    """

    def encoded() -> Floats | None:
        try:
            return load_towers(info, models_dir).text.encode_text(QUERIES)
        except ClipsearchError:
            return None

    return encoded
