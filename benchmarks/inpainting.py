"""How well, and how fast, pictures are completed, beside biharmonic inpainting and total variation.

The three shipped photographs, 128 x 128 in colour, with four masks: half of the pixels missing at random, four fifths
of them, a rectangle, and text. PSNR and SSIM of the whole picture, clipped to its range, and the least seconds of three
calls:

- `NeuralInpainter()`, by its defaults, kernel and all;
- biharmonic inpainting of scikit-image;
- the picture of least total variation among those with the observed pixels, by the primal-dual method of Chambolle and
  Pock, 1000 steps.

Then the settings that the defaults were chosen from, and a picture of 256 x 256 in a process of its own.

    python benchmarks/inpainting.py
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from common import report
from PIL import Image, ImageDraw, ImageFont
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import inpaint_biharmonic

from ntkkit import NeuralInpainter
from ntkkit.datasets import load_photos
from ntkkit.linalg import PeriodicMatrix

NAMES = ("cat", "coffee", "retina")
SHOWN = {"half": "cat", "four fifths": "coffee", "rectangle": "cat", "text": "coffee"}
MISSING = (0.62, 0.72, 0.88)  # a colour that no photograph has
SETTINGS = {
    **{f"bilinear, depth {depth}": {"depth": depth} for depth in (1, 2, 3, 4)},
    **{f"nearest, depth {depth}": {"depth": depth, "upsampling": "nearest"} for depth in (2, 3, 4, 5)},
    "three convolutions": {"n_convs": 3},
    "one convolution, alpha=0.001": {"n_convs": 1, "alpha": 1e-3},
    "alpha=0.001": {"alpha": 1e-3},
    "alpha=0.1": {"alpha": 1e-1},
    "tol=0.01": {"tol": 1e-2},
}


def masks(side=128):
    rng = np.random.default_rng(0)
    rectangle = np.zeros((side, side), dtype=bool)
    rectangle[side * 3 // 8 : side * 5 // 8, side * 5 // 16 : side * 9 // 16] = True
    text = Image.new("L", (side, side))
    font, draw = ImageFont.load_default(size=18), ImageDraw.Draw(text)
    for line, words in enumerate(
        ["Wide networks", "complete what", "is missing of", "pictures, from", "the pictures", "themselves."]
    ):
        draw.text((3, 4 + 20 * line), words, fill=255, font=font, stroke_width=0.5)
    random = rng.random((side, side))
    return {"half": random < 0.5, "four fifths": random < 0.8, "rectangle": rectangle, "text": np.array(text) > 100}


def neural(picture, mask, **settings):
    return NeuralInpainter(**settings).fit_transform(picture, mask=mask)


def biharmonic(picture, mask):
    return inpaint_biharmonic(picture, mask, channel_axis=-1)


def total_variation(picture, mask, n_steps=1000, step=0.35):
    """Least sum of |gradient|, channels together, by Chambolle and Pock (2011), algorithm 1; 8 step^2 < 1."""
    missing = mask[..., None]
    u = np.where(missing, picture[~mask].mean(axis=0), picture)
    ahead, dual = u.copy(), np.zeros((2, *u.shape))
    for _ in range(n_steps):
        dual[0, :-1] += step * np.diff(ahead, axis=0)
        dual[1, :, :-1] += step * np.diff(ahead, axis=1)
        dual /= np.maximum(1, np.sqrt((dual**2).sum(axis=(0, 3))))[..., None]
        divergence = np.diff(dual[0], axis=0, prepend=0) + np.diff(dual[1], axis=1, prepend=0)
        before, u = u, np.where(missing, u + step * divergence, picture)
        ahead = 2 * u - before
    return u


METHODS = {"NeuralInpainter": neural, "biharmonic": biharmonic, "total variation": total_variation}


def scores(found, picture):
    return {
        "psnr": float(peak_signal_noise_ratio(picture, found, data_range=1)),
        "ssim": float(structural_similarity(picture, found, data_range=1, channel_axis=-1)),
    }


def compare(photos, all_masks):
    """Results by mask, method and photograph, and the completed pictures."""
    results, completed = {}, {}
    for (mask_name, mask), (method, complete) in ((m, c) for m in all_masks.items() for c in METHODS.items()):
        each = results.setdefault(mask_name, {"missing": float(mask.mean())}).setdefault(method, {})
        for name, picture in photos.items():
            hidden = np.where(mask[..., None], 0, picture)
            times = []
            for _ in range(3):
                start = time.perf_counter()
                found = complete(hidden, mask).clip(0, 1)
                times.append(time.perf_counter() - start)
            each[name] = {**scores(found, picture), "seconds": min(times)}
            completed[mask_name, method, name] = found
        each["mean"] = {key: float(np.mean([each[name][key] for name in photos])) for key in each[name]}
        print(mask_name, method, each["mean"], flush=True)
    return results, completed


def compare_settings(photos, all_masks):
    """Mean PSNR of the photographs by mask, for each of the settings."""
    pictures, results = np.stack(list(photos.values())), {}
    for name, settings in SETTINGS.items():
        inpainter = NeuralInpainter(**settings, clip=(0, 1)).fit(pictures)
        results[name] = {}
        for mask_name, mask in all_masks.items():
            found = inpainter.transform(pictures, mask)
            each = [scores(*pair)["psnr"] for pair in zip(found, pictures, strict=True)]
            results[name][mask_name] = float(np.mean(each))
        results[name]["mean"] = float(np.mean(list(results[name].values())))
        print(name, results[name], flush=True)
    return results


def mirrored(picture):
    """2 x 2 copies that meet in equal edges."""
    wide = np.concatenate([picture, picture[:, ::-1]], axis=1)
    return np.concatenate([wide, wide[::-1]])


def large():
    """Complete a 256 x 256 picture in colour, half of it missing: seconds, products and the peak of the process."""
    picture = mirrored(load_photos().data[0] / 255)
    mask = np.random.default_rng(0).random(picture.shape[:2]) < 0.5
    before, product, count = peak_mb(), PeriodicMatrix.product, []
    PeriodicMatrix.product = lambda matrix, V: count.append(1) or product(matrix, V)
    times = []
    for _ in range(3):
        count.clear()
        start = time.perf_counter()
        found = neural(picture, mask)
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    peer = biharmonic(picture, mask)
    return {
        "seconds": times,
        "products": len(count),
        "MB before": before,
        "MB at most": peak_mb(),
        **scores(found, picture),
        "biharmonic": {"seconds": time.perf_counter() - start, **scores(peer, picture)},
    }


def peak_mb():
    """Of this process alone: getrusage has the parent's peak, too, if that was higher."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def draw_plot(photos, all_masks, results, completed, path):
    """A row a mask: what is observed, what each method makes of it, and the truth."""
    from matplotlib.figure import Figure

    from ntkkit.display.style import DARK

    titles = ["observed", *METHODS, "truth"]
    figure = Figure(figsize=(12.5, 10.6), dpi=100, layout="constrained", facecolor="white")
    axes = figure.subplots(len(SHOWN), len(titles))
    for row, (mask_name, name) in zip(axes, SHOWN.items(), strict=True):
        mask, picture = all_masks[mask_name], photos[name]
        observed = np.where(mask[..., None], MISSING, picture)
        pictures = [observed, *(completed[mask_name, method, name] for method in METHODS), picture]
        captions = [
            f"{mask.mean():.0%} missing",
            *(f"{results[mask_name][m][name]['psnr']:.1f} dB" for m in METHODS),
            "",
        ]
        for ax, shown, caption in zip(row, pictures, captions, strict=True):
            ax.imshow(shown, interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_color("#c8ced6")
            ax.set_xlabel(caption, color=DARK)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, color=DARK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main():
    photos, all_masks = dict(zip(NAMES, load_photos().data / 255, strict=True)), masks()
    results, completed = compare(photos, all_masks)
    draw_plot(photos, all_masks, results, completed, Path(__file__).parent / "results" / "inpainting.png")
    alone = subprocess.run([sys.executable, __file__, "large"], capture_output=True, text=True, check=True)
    report(
        "inpainting",
        {
            "masks": results,
            "settings": compare_settings(photos, all_masks),
            "256 x 256 x 3, half missing": json.loads(alone.stdout),
        },
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["large"]:
        print(json.dumps(large()))
    else:
        main()
