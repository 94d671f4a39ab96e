"""What a scan leaves out: hidden and system files, `--exclude`, and `.clipsearchignore` files."""

import os
from dataclasses import dataclass, replace

from clipsearch.photos.patterns import Pattern, parse_pattern, parse_patterns

IGNORE_FILE = b".clipsearchignore"

# What file servers, systems and photo programs keep beside photos: thumbnails, bins, previews.
_SYSTEM_NAMES = frozenset(
    name.lower()
    for name in (
        b"@eaDir",
        b"@Recycle",
        b"@Recently-Snapshot",
        b"#recycle",
        b"#snapshot",
        b"$RECYCLE.BIN",
        b"System Volume Information",
        b"lost+found",
        b"Thumbs.db",
        b"ehthumbs.db",
        b"desktop.ini",
        b".DS_Store",
        b".Trash",
        b".Trashes",
        b".thumbnails",
        b".Spotlight-V100",
        b".fseventsd",
        b".DocumentRevisions-V100",
        b".TemporaryItems",
        b".stversions",
        b".dtrash",
        b".git",
        b"__MACOSX",
    )
)
_SYSTEM_BEGINNINGS = (b".trash-", b"._", b".nfs", b".fuse_hidden")
_SYSTEM_ENDINGS = (b".lrdata", b".lrcat-data", b".cocatalogdb")
# Photo libraries of macOS are folders: the photos are in one of these two, the rest is derived.
_PACKAGE_ENDINGS = (b".photoslibrary", b".photolibrary", b".aplibrary", b".migratedphotolibrary")
_PACKAGE_ORIGINALS = frozenset((b"originals", b"masters"))


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """Which files and folders of a tree are not wanted.

    `exclude` are patterns as in a `.clipsearchignore` file at the root (see patterns.py); they
    cannot be undone by one. `hidden` True wants names that begin with a dot; what systems and
    photo programs keep for themselves (`@eaDir`, `Thumbs.db`, previews) is never wanted.
    """

    exclude: tuple[str, ...] = ()
    hidden: bool = False
    nested: tuple[tuple[bytes, tuple[Pattern, ...]], ...] = ()

    def inside(self, folder: bytes, text: bytes) -> "IgnoreRules":
        """These rules and those of the ignore file `text` in `folder`, for what lies below it."""
        return replace(self, nested=(*self.nested, (folder, parse_patterns(text))))

    def ignores(self, path: bytes, *, is_folder: bool, parent: bytes = b"") -> bool:
        """Whether the file or folder at `path`, relative to the root, is not wanted.

        The folders above it are taken to be wanted. `parent` is the name of the folder it is in,
        which `path` does not tell at the root.
        """
        name = path.rpartition(b"/")[2]
        if _is_system(name) or _is_package_internal(name, parent):
            return True
        if not self.hidden and name.startswith(b"."):
            return True
        segments = path.split(b"/")
        excluding = (parse_pattern(os.fsencode(text)) for text in self.exclude)
        if any(one is not None and one.matches(segments, is_folder) for one in excluding):
            return True
        return self._nested_verdict(path, is_folder)

    def _nested_verdict(self, path: bytes, is_folder: bool) -> bool:
        """The last pattern that matches decides, those of deeper folders after the others."""
        verdict = False
        for folder, patterns in self.nested:
            if folder and not path.startswith(folder + b"/"):
                continue
            below = path.removeprefix(folder + b"/" if folder else b"").split(b"/")
            for pattern in patterns:
                if pattern.matches(below, is_folder):
                    verdict = not pattern.negated
        return verdict


def _is_system(name: bytes) -> bool:
    lower = name.lower()
    return (
        lower in _SYSTEM_NAMES
        or lower.startswith(_SYSTEM_BEGINNINGS)
        or lower.endswith(_SYSTEM_ENDINGS)
    )


def _is_package_internal(name: bytes, parent: bytes) -> bool:
    return parent.lower().endswith(_PACKAGE_ENDINGS) and name.lower() not in _PACKAGE_ORIGINALS
