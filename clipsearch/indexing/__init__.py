"""Index folders of photos: read what is new or changed, encode it, record what is proved absent.

scan (presence) -> encode (one transaction a batch) -> settle (absence, only where proved)
-> activate the model when every photo has its embedding -> snapshot.
"""

from clipsearch.indexing.run import index
from clipsearch.indexing.summary import IndexSummary, RootReport

__all__ = ["IndexSummary", "RootReport", "index"]
