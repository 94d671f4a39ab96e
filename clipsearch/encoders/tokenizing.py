"""open_clip's tokenizers written as tokenizer.json files, so that queries need neither torch nor
transformers.

A copy is only used after it gave the same ids as the original for `PROBES`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsearch.encoders.hashing import sha256_of_json
from clipsearch.errors import ModelUnavailableError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PROBES: tuple[str, ...] = (
    "",
    "a dog",
    "A photo of two dogs, running on the BEACH!",
    "it's the cat's; they're 3,141 & don't",
    "naïve café — “quoted” ﬁne … ½",
    "海滩上的一只狗",
    "собака на пляже",
    "犬とビーチ、夏休み",
    "🐶🏖️ 👩‍👩‍👧‍👦",
    "tabs\tand\nlines  and   spaces ",
    "snake_case kebab-case path/to/file.jpg #tag @name 50%",
    "&amp;lt; &eacute; <b>bold</b>",
    "x" * 400,
    "very long " * 100,
    "one two three " * 30 + "!?",
)

# CLIP's words: contractions, runs of letters, single digits, runs of anything else.
_CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """What tokenizer.json does not say about how it is to be used.

    `clean` names the cleaning before it (`cleaning.CLEANERS`), `pad_id` fills rows up to the
    context, `dropped_id` is an id that open_clip replaces by 0 (or None), and `identity` is a
    SHA-256 over what it makes of `PROBES`: equal however the tokenizer is spelt or stored.
    """

    clean: str
    pad_id: int
    dropped_id: int | None
    context_length: int
    identity: str


def copy_tokenizer(original: Any, context_length: int, path: Path) -> TokenizerFacts:
    """Write open_clip's tokenizer `original` to `path` as tokenizer.json.

    Raises:
        ModelUnavailableError: it is of a kind that cannot be copied, or the copy differs.
    """
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    if isinstance(original, SimpleTokenizer) and original.reduction_fn is None:
        tokenizer, pad_id, dropped_id = _clip_tokenizer(original), 0, None
    elif isinstance(original, HFTokenizer) and not original.tokenizer_mode:
        fast = original.tokenizer
        tokenizer, pad_id = _fast_tokenizer(fast), fast.pad_token_id
        dropped_id = fast.sep_token_id if original.strip_sep_token else None
    else:
        raise ModelUnavailableError(
            f"the tokenizer {type(original).__name__} of this model is not supported",
            "Choose another model",
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(context_length)
    tokenizer.save(str(path), pretty=False)

    clean = original.clean_fn.__name__.removeprefix("_clean_")
    wanted = original(list(PROBES), context_length=context_length).tolist()
    facts = TokenizerFacts(clean, pad_id, dropped_id, context_length, sha256_of_json(wanted))
    _check_copy(path, facts, wanted)
    return facts


def _clip_tokenizer(original: Any) -> "Tokenizer":
    """CLIP's byte-level BPE, in which `</w>` marks the end of a word.

    It differs from open_clip's in one case nobody types: the literal `<end_of_text>` straight
    after punctuation is read as the special token here and as letters there.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, processors

    start, end = "<start_of_text>", "<end_of_text>"
    tokenizer = Tokenizer(
        models.BPE(
            vocab=original.encoder,
            merges=list(original.bpe_ranks),
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in (start, end)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, original.sot_token_id), (end, original.eot_token_id)],
    )
    return tokenizer


def _fast_tokenizer(fast: Any) -> "Tokenizer":
    """A transformers tokenizer's own `tokenizers` object, as a copy."""
    from tokenizers import Tokenizer

    backend = getattr(fast, "backend_tokenizer", None)
    if backend is None:
        raise ModelUnavailableError(
            f"the tokenizer {type(fast).__name__} has no fast version", "Choose another model"
        )
    copy: Tokenizer = Tokenizer.from_str(backend.to_str())
    return copy


def _check_copy(path: Path, facts: TokenizerFacts, wanted: list[list[int]]) -> None:
    from clipsearch.encoders.token_rows import TokenRows

    copied = TokenRows(path, facts).full_rows(PROBES).tolist()
    for text, one, other in zip(PROBES, copied, wanted, strict=True):
        if one != other:
            raise ModelUnavailableError(
                f"the copied tokenizer reads {text[:20]!r} differently from open_clip's",
                "Choose another model",
            )
