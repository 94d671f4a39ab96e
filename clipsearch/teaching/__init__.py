"""Teach names with photos: `@rex` in a search, a label in classify.

taught = teach(library, towers, "rex", [b"/photos/rex1.jpg", b"/photos/rex2.jpg"])
search(library, towers, parse_query("beach +@rex"))
"""

from clipsearch.teaching.again import teach_again
from clipsearch.teaching.keeping import Taught, forget, taught
from clipsearch.teaching.labels import teach_labels
from clipsearch.teaching.things import teach

__all__ = ["Taught", "forget", "taught", "teach", "teach_again", "teach_labels"]
