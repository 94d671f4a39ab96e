"""What a step makes small: the contrastive loss of a batch, and terms beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from clipsearch.training.distributed import gather_rows
from clipsearch.training.gradient_cache import Encoding, backward_in_chunks
from clipsearch.training.losses import (
    ContrastiveLoss,
    LabelledViewsLoss,
    SigmoidLoss,
    ViewsLoss,
)
from clipsearch.training.pair_batches import PairBatch
from clipsearch.training.precision import Precision, computing_in
from clipsearch.training.short_texts import short_text_encoder

Encode = Callable[[Tensor], Tensor]
# Which views are to find each other: those of one photo, or of all photos with one label.
ViewsOf = Literal["photo", "label"]


class TextLoss(Protocol):
    """Something that texts alone are to come nearer to."""

    def loss(self, encode_text: Encode) -> Tensor:
        """A scalar; what it draws depends on torch's random numbers."""


@dataclass(frozen=True, slots=True)
class TextTerm:
    """A loss of texts alone, and how much it counts beside the contrastive one."""

    loss: TextLoss
    weight: float


def _as_they_are(rows: Tensor) -> Tensor:
    return rows


class PairObjective:
    """The loss between photos and texts, and, when asked for, between two views of the photos."""

    def __init__(
        self,
        model: nn.Module,
        loss: ContrastiveLoss,
        device: torch.device,
        *,
        precision: Precision = "fp32",
        pairs_weight: float = 1.0,
        views_weight: float = 0.0,
        views_of: ViewsOf = "photo",
        chunk: int = 0,
        text_terms: Sequence[TextTerm] = (),
        images_are_stored: bool = False,
    ) -> None:
        """`precision` is the towers'; losses are always computed in float32.

        `pairs_weight` > 0: how much the loss between photos and texts counts beside all others.
        `views_weight` >= 0: how much the views' loss counts beside the texts' (SLIP: 1), over views
        of one photo or, by `views_of`, of photos whose label or caption says the same. `chunk`:
        pairs whose activations are kept at once, 0 all; the gradients are the same. `text_terms`:
        losses of texts alone. `images_are_stored`: batches hold embeddings of a locked tower in
        place of pixels.
        """
        self._model: Any = model
        self._loss, self._views_of = loss, views_of
        self._same_photo, self._same_label = ViewsLoss(), LabelledViewsLoss()
        self._device, self._precision = device, precision
        self._pairs_weight, self._views_weight, self._chunk = pairs_weight, views_weight, chunk
        self._text_terms = tuple(text_terms)
        self._encode_photos = _as_they_are if images_are_stored else self.encode_image
        self._encode_text: Encode = short_text_encoder(model) or self._whole_text

    @torch.no_grad()
    def settle(self, batch: PairBatch) -> None:
        """Let a loss with a bias of its own start where the model stands, by its first batch.

        To be called by all processes, before the first step; see SigmoidLoss.fit_bias.
        """
        if not isinstance(self._loss, SigmoidLoss) or _bias_of(self._model) is not None:
            return
        at_once = self._chunk or len(batch.indices)
        inputs = ((self._encode_photos, batch.images), (self.encode_text, batch.tokens))
        image, text = (
            gather_rows(
                torch.cat([encode(part.to(self._device)) for part in torch.split(rows, at_once)])
            )
            for encode, rows in inputs
        )  # [n of all processes, dim] each
        ids = gather_rows(batch.ids.to(self._device))
        self._loss.fit_bias(image, text, ids, self._model.logit_scale.exp())

    def backward(self, batch: PairBatch, share: float) -> Tensor:
        """Add the gradients of `share` times the batch's loss; the loss itself, detached."""
        images = Encoding(self._encode_photos, batch.images.to(self._device))
        texts = Encoding(self.encode_text, batch.tokens.to(self._device))
        encodings = [images, texts]
        if self._views_weight and batch.views is not None:
            encodings.append(Encoding(self.encode_image, batch.views.to(self._device)))
        ids = gather_rows(batch.ids.to(self._device))

        def loss(*rows: Tensor) -> Tensor:
            image, text, *second = map(gather_rows, rows)  # [n of all processes, dim] each
            value = self._pairs_weight * self._between(image, text, ids)
            for views in second:
                value = value + self._views_weight * self._between_views(image, views, ids)
            return value * share

        held = self._backward_of_texts(share)
        if self._chunk and self._chunk < len(batch.indices):
            value = backward_in_chunks(self._model, encodings, loss, self._chunk)
        else:
            value = loss(*(encoding.encode(encoding.inputs) for encoding in encodings))
            torch.autograd.backward(value)
        return (value.detach() + held) / share

    def _backward_of_texts(self, share: float) -> Tensor:
        """The gradients of each text term on its own: its activations are gone before others."""
        total = torch.zeros((), device=self._device)
        for term in self._text_terms:
            value = share * term.weight * term.loss.loss(self.encode_text)
            torch.autograd.backward(value)
            total += value.detach()
        return total

    def encode_image(self, images: Tensor) -> Tensor:
        """Unit rows [n, dim], float32."""
        with computing_in(self._precision, self._device):
            rows: Tensor = self._model.encode_image(images, normalize=True)
        return rows.float()

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Unit rows [n, dim], float32."""
        with computing_in(self._precision, self._device):
            rows = self._encode_text(tokens)
        return rows.float()

    def _whole_text(self, tokens: Tensor) -> Tensor:
        rows: Tensor = self._model.encode_text(tokens, normalize=True)
        return rows

    def _between(self, image: Tensor, text: Tensor, ids: Tensor) -> Tensor:
        model = self._model
        value: Tensor = self._loss(image, text, ids, model.logit_scale.exp(), _bias_of(model))
        return value

    def _between_views(self, first: Tensor, second: Tensor, ids: Tensor) -> Tensor:
        value: Tensor = (
            self._same_label(first, second, ids)
            if self._views_of == "label"
            else self._same_photo(first, second)
        )
        return value


def _bias_of(model: nn.Module) -> Tensor | None:
    bias: Tensor | None = getattr(model, "logit_bias", None)
    return bias
