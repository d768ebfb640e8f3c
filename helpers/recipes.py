"""The report's hyper-parameters and reported results, and the demonstration's: the only place they are typed.

Source: Alonso Membrilla & Palencia Blanco, "Proyecto final, Visión por Computador", 29/01/2021.
Fields that the report leaves open say so where they are set.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """One training: a Caffe solver, a stopping rule and what the report says came of it.

    solver: "Adam" or "SGD", as in Caffe's SolverParameter, where they are called type.
    base_lr, gamma, power, momentum (Adam's beta1), momentum2 (beta2), weight_decay: likewise.
    lr_policy: "exp" (base_lr * gamma^iter), "step" (base_lr * gamma^floor(iter / stepsize)) or
        "poly" (base_lr * (1 - iter / max_iter)^power, max_iter being the iterations of max_epochs).
    stepsize_epochs: epochs between two steps of "step"; the report gives no stepsize, this is ours.
    stepsize: the same in iterations, where the source gives it so.
    patience, epsilon: see helpers.early_stopping.
    reported_epochs, reported_test_accuracy: what the report says (accuracy in [0, 1]), None for a demonstration.
    """

    name: str
    title: str
    base_lr: float
    lr_policy: str
    gamma: float
    weight_decay: float
    max_epochs: int
    patience: int
    epsilon: float = 1e-4
    stepsize_epochs: int | None = None
    stepsize: int | None = None
    power: float = 1.0
    solver: str = "Adam"
    batch_size: int = 128
    momentum: float = 0.9  # the report names Adam only; Caffe's default of 0 would switch its first moment off
    momentum2: float = 0.999
    reported_epochs: int | None = None
    reported_test_accuracy: float | None = None


CIFAR100_LAST_LAYER = Recipe(
    name="cifar100_last_layer",
    title="CIFAR-100, last layer",
    base_lr=0.01,
    lr_policy="exp",
    gamma=0.9995,
    weight_decay=0.001,
    max_epochs=200,
    patience=5,
    reported_epochs=64,
    reported_test_accuracy=0.3766,
)

CIFAR100_FINE_TUNE = Recipe(
    name="cifar100_fine_tune",
    title="CIFAR-100, fine-tuning",
    base_lr=0.0005,
    lr_policy="step",
    gamma=0.2,
    stepsize_epochs=5,
    weight_decay=0.0005,
    max_epochs=50,
    patience=1,
    reported_epochs=15,
    reported_test_accuracy=0.527,
)

FRUITS360_LAST_LAYER = replace(
    CIFAR100_LAST_LAYER,
    name="fruits360_last_layer",
    title="Fruits-360, last layer",
    reported_epochs=98,
    reported_test_accuracy=0.91,
)

FRUITS360_FINE_TUNE = replace(  # "larger stepsize" than CIFAR-100's is all the report says
    CIFAR100_FINE_TUNE,
    name="fruits360_fine_tune",
    title="Fruits-360, fine-tuning",
    base_lr=0.0003,
    stepsize_epochs=8,
    reported_test_accuracy=0.9691,
)

REPORT = (CIFAR100_LAST_LAYER, CIFAR100_FINE_TUNE, FRUITS360_LAST_LAYER, FRUITS360_FINE_TUNE)

# The demonstration on the embedded photographs: the report's CIFAR-100 settings, fewer epochs, nothing reported.
# The whole branch trains about 90 images a second on one core, which decides the number of crops and of epochs.
PHOTOS_CROPS = (128, 30, 100)  # of each photograph, for training, validation and test
UNREPORTED = dict(reported_epochs=None, reported_test_accuracy=None)
PHOTOS_LAST_LAYER = replace(
    CIFAR100_LAST_LAYER, name="photos_last_layer", title="Photographs, last layer", max_epochs=60, **UNREPORTED
)
PHOTOS_FINE_TUNE = replace(
    CIFAR100_FINE_TUNE, name="photos_fine_tune", title="Photographs, fine-tuning", max_epochs=8, **UNREPORTED
)

# The small CFN of notebook 01: ours. BatchNorm while training and Adam, since the authors' SGD 0.01 from gaussian
# fillers needs hundreds of thousands of iterations (their solver: 350,000).
PHOTOS_PRETEXT = Recipe(
    name="photos_pretext",
    title="Photographs, jigsaw pretext",
    base_lr=0.001,
    lr_policy="exp",
    gamma=0.999,
    weight_decay=1e-4,
    max_epochs=4,
    patience=4,
    batch_size=32,
)

# The same small CFN on many photographs, with and without precautions (helpers.pretext.cheating).
PUZZLES_CHEATING = replace(
    PHOTOS_PRETEXT,
    name="puzzles_cheating",
    title="Small CFN, precautions",
    lr_policy="poly",
    gamma=1.0,
    weight_decay=1e-5,
    max_epochs=6,
    patience=6,
    batch_size=64,
)

# The CFN on puzzles without end (helpers.pretext). An epoch is 102,400 puzzles unless that command is told otherwise,
# 400 batches. Neither stops early: fresh puzzles cannot be learnt by heart.
# Source: train_val_cfn_jps.prototxt's solver in MehdiNoroozi/JigsawPuzzleSolver, 350,000 iterations.
CFN_AUTHORS = Recipe(
    name="cfn_authors",
    title="CFN, the authors' solver",
    solver="SGD",
    base_lr=0.01,
    lr_policy="step",
    gamma=0.1,
    stepsize=100_000,
    weight_decay=0.0005,
    max_epochs=875,
    patience=875,
    batch_size=256,
)

# Ours: He fillers, BatchNorm while training and Adam learn in minutes what the authors' recipe takes days for.
CFN_QUICK_LEARNER = Recipe(
    name="cfn_quick_learner",
    title="CFN, quick learner",
    base_lr=0.001,
    lr_policy="poly",
    gamma=1.0,
    weight_decay=1e-5,
    max_epochs=60,
    patience=60,
    batch_size=256,
)

# A small fc6 to fc8 on the frozen trunk that ships (helpers.pretext.puzzle_head), ours. An epoch is each cut of each
# photograph once, in a fresh permutation.
CFN_HEAD = replace(
    CFN_QUICK_LEARNER,
    name="cfn_head",
    title="CFN, fc6 to fc8",
    base_lr=0.002,
    max_epochs=20,
    patience=20,
)

# Source: nofe_AlexNet-C100/generalist/generalist_solver.prototxt in karim-ahmed/nofe-caffe: SGD at a fixed rate
# (gamma 1), 60,000 iterations of 100 images. The stopping rule is the report's, with the patience of its last layer.
ALEXNET_C100 = Recipe(
    name="alexnet_c100",
    title="AlexNetC100",
    solver="SGD",
    base_lr=0.001,
    lr_policy="exp",
    gamma=1.0,
    weight_decay=0.004,
    max_epochs=141,
    patience=5,
    batch_size=100,
)

VALIDATION_FRACTION = 0.15  # of the training images
IMAGE_SIZE = 64  # pixels, the side of the branch's input
FRUITS360_EVERY = 4  # one image in four of each class folder is read
FRUITS360_CLASSES_REPORTED = 81
ALEXNET_PARAMETERS_REPORTED = 61_000_000
CFN_PARAMETERS_REPORTED = 27_500_000
ALEXNET_C100_ACCURACY_REPORTED = 0.54
FRUITS360_IMAGES_REPORTED = 90_000  # "more than"
FINE_TUNE_EPOCHS_FIGURE_5 = 16  # of CIFAR-100; the text has 15
DECAY_PER_EPOCH_REPORTED = 0.85  # 0.9995 per iteration, over an epoch of CIFAR-100
