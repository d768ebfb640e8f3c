"""Notebook 07: a turn is split by angle, and the nearest pixels name a fruit."""

import numpy as np

from helpers.exercises.engine import exercise


def split_turn(frames, turn, gap, rng):
    """A split for each frame of one turn, so that no split has the frame next door of another.

    frames: distinct integers from 0 to turn - 1; after the last comes frame 0 again.
    One arc of the turn is for "test", a quarter of it; one is for "validation", a tenth; what is
    left is for "training". Between frames of two splits lie more than `gap` steps: a frame that is
    too near gets None. The arcs begin at a place that rng draws. Returns a list, one for each frame.
    """
    start, test, validation = rng.integers(turn), round(turn / 4), round(turn / 10)
    names = []
    for frame in frames:
        place = (frame - start) % turn
        if place < test:
            names.append("test")
        elif test + gap <= place < test + gap + validation:
            names.append("validation")
        elif test + validation + 2 * gap <= place < turn - gap:
            names.append("training")
        else:
            names.append(None)
    return names


@exercise(
    "07.1",
    "A split by angle",
    split_turn,
)
def _split(attempt):
    rng = np.random.default_rng(1)
    circle = (
        "Turn the circle first: (frame - start) % turn is a frame's place behind where the test arc begins, "
        "whatever the other frames are."
    )
    arcs = (
        "Lay the arcs out along the turn: test, gap, validation, gap, training, gap. The last gap is easily forgotten."
    )
    near = "Places 0 to 9 and a gap of 10: the next split may begin at place 9 + 11 = 20, which is 10 + gap."
    listed = (
        "names[i] is the split of frames[i]: a list in the order of the frames, which may be any, with None in its "
        "places."
    )
    for seed in range(40):
        turn, gap = int(rng.integers(120, 400)), int(rng.integers(0, 12))
        frames = np.arange(turn) if seed % 2 else rng.choice(turn, turn // 4, replace=False)
        frames = rng.permutation(frames) if seed % 4 else np.sort(frames)
        answer = attempt(frames.tolist(), turn, gap, np.random.default_rng(seed))
        attempt.must(isinstance(answer, list | tuple | np.ndarray), "it returns a list of names", hint=listed)
        answer = list(answer)
        attempt.must(
            len(answer) == len(frames), "every frame gets a split or None", f"{len(answer)} for {len(frames)}", listed
        )
        odd = {name for name in answer if name not in ("training", "validation", "test", None)}
        attempt.must(not odd, 'the splits are "training", "validation", "test" and None', f"there is {odd}", listed)
        own = {name: frames[[one == name for one in answer]] for name in ("training", "validation", "test")}
        for a, b in (("training", "validation"), ("validation", "test"), ("training", "test")):
            attempt.must(
                len(own[a]) and len(own[b]), "no split is empty", f"{a} has {len(own[a])}, {b} {len(own[b])}", arcs
            )
            steps = np.abs(own[a][:, None] - own[b])
            steps = np.minimum(steps, turn - steps)  # the short way round
            i, j = np.unravel_index(steps.argmin(), steps.shape)
            words = f"frame {own[a][i]} of {a} and {own[b][j]} of {b}, in a turn of {turn} with gap {gap}"
            attempt.must(
                steps.min() > gap,
                "no frame has one of another split within the gap, all round the turn",
                words,
                f"{circle} {near}",
            )
        if len(frames) == turn:
            sizes = {name: len(part) for name, part in own.items()}
            wanted = {"validation": turn / 10, "test": turn / 4}
            for name, size in wanted.items():
                words = f"{sizes[name]} of {turn} frames are for {name}"
                attempt.must(
                    abs(sizes[name] - size) <= 1, "test has a quarter of the turn, validation a tenth", words, arcs
                )
            idle = sum(name is None for name in answer)
            attempt.must(
                idle <= 3 * gap, "no more frames are left out than the gaps ask for", f"{idle} with gap {gap}", near
            )
    turned = {tuple(attempt(list(range(100)), 100, 3, np.random.default_rng(seed))) for seed in range(60)}
    words = f"60 generators gave {len(turned)} splits of 100 frames"
    attempt.must(
        len(turned) > 20,
        "the arcs begin elsewhere each time",
        words,
        "start = rng.integers(turn): any frame may be it.",
    )
    attempt.repeats(list(range(100)), 100, 3)


def recall(training, labels, images):
    """The class of the training image whose pixels are nearest: a memory, no understanding.

    training: uint8 (n, height, width, 3) with their labels (n,). images: uint8 (m, height, width, 3).
    Nearest by the sum of squared differences. Returns the labels of the m images, (m,).
    """
    known = training.reshape(len(training), -1).astype(float)
    asked = images.reshape(len(images), -1).astype(float)
    distances = ((asked[:, None] - known) ** 2).sum(axis=2)
    return labels[distances.argmin(axis=1)]


@exercise(
    "07.2",
    "The nearest pixels",
    recall,
)
def _recall(attempt):
    rng = np.random.default_rng(2)
    each = (
        "For each image: the difference to every training image, pixel by pixel and channel by channel, squared, "
        "summed; "
    )
    each += (
        "argmin says which is nearest. uint8 has no negative numbers, 3 - 5 is 254 there: make the pixels floats first."
    )
    label = "argmin gives the place of an image in training; what is asked for is the label at that place."
    for turn in range(24):
        classes = rng.integers(0, 256, (4, 5, 5, 3))
        labels = rng.permutation(np.repeat(np.arange(4), 6)) * 3 + 1
        near = classes[np.arange(24) // 6] + rng.integers(-60, 61, (24, 5, 5, 3))
        training = near.clip(0, 255).astype(np.uint8)
        chosen = rng.permutation(24)[:10]
        images = (training[chosen] + rng.integers(-40, 41, (10, 5, 5, 3))).clip(0, 255).astype(np.uint8)
        if turn % 2:  # images that resemble none, of all brightnesses: here each distance names another
            labels = rng.permutation(24) + 1
            training, images = (
                (rng.integers(0, 256, (n, 5, 5, 3)) * rng.uniform(0.3, 1, (n, 1, 1, 1))).astype(np.uint8)
                for n in (24, 10)
            )
        named = attempt.array(attempt(training, labels, images), (10,), "each image gets one label")
        attempt.must(
            np.isin(named, labels).all(), "what is returned are labels of training images", f"{named.tolist()}", label
        )
        right = [
            labels[np.argmin([sum((int(a) - int(b)) ** 2 for a, b in zip(one.flat, image.flat)) for one in training])]
            for image in images
        ]
        words = f"{named.tolist()} instead of {[int(label) for label in right]}"
        attempt.must(
            named.tolist() == right, "each image is named by the training image with the nearest pixels", words, each
        )
    labels, hits = np.arange(200) % 4, []
    training = rng.integers(0, 256, (200, 4, 4, 3), dtype=np.uint8)
    for _ in range(10):
        hits.append((np.asarray(attempt(training, rng.permutation(labels), training)) == labels).mean())
    attempt.must(
        np.mean(hits) < 0.35, "with the labels shuffled it is right by chance alone", f"in {np.mean(hits):.0%}", label
    )
