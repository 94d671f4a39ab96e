"""Contrastive training: concepts, captions, losses, batches, the loop and its checkpoints.

The only place besides `encoders/openclip.py` that imports torch.
"""
