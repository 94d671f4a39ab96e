"""Indexing a folder with open_clip and faiss as most people write it; a peer for benchmarks.

python benchmarks/plain_script.py MODEL_DIRECTORY FOLDER OUT
"""

import json
import sys
from pathlib import Path

import faiss
import numpy as np
import open_clip
import torch
from PIL import Image
from tqdm import tqdm

model_folder, folder, out = map(Path, sys.argv[1:])
model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{model_folder}")
model.eval()
paths = sorted(folder.rglob("*.jpg"))
index = None
with tqdm(total=len(paths), mininterval=0.5) as bar:
    for start in range(0, len(paths), 32):
        part = paths[start : start + 32]
        batch = torch.stack([preprocess(Image.open(path)) for path in part])
        with torch.inference_mode():
            vectors = model.encode_image(batch, normalize=True).numpy().astype(np.float32)
        if index is None:
            index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        bar.update(len(part))
out.mkdir(exist_ok=True)
faiss.write_index(index, str(out / "photos.faiss"))
(out / "paths.json").write_text(json.dumps([str(path) for path in paths]))
