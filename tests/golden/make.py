"""Makes the stored Keras reference values (*.json) of this folder.

    python3 -m venv keras-env
    keras-env/bin/pip install tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.6
    keras-env/bin/python tests/golden/make.py            # every file
    keras-env/bin/python tests/golden/make.py layers     # only layers.json

The stored values were made with Keras 3.15.1 on TensorFlow 2.21.0 (CPU build),
NumPy 2.4.6 and Python 3.11. Every file repeats the versions in its head.

All inputs come from NumPy generators with fixed seeds, so that a second run
with the same versions gives the same files. Keras runs in float64; common.py
keeps it from rounding its hyper-parameters to float32 on the way. The few cases
in which TensorFlow still has a float32 constant carry a "tolerance" field.
Numbers are written with 12 significant digits; inputs have fewer and are exact.
"""

import importlib
import sys

# file stem -> module that has a function of the same name
MAKERS = {
    "layers": "make_layers",
    "recurrent": "make_recurrent",
    "stateful": "make_recurrent",
    "stateful_training": "make_stateful_training",
    "attention": "make_attention",
    "families": "make_families",
    "functional": "make_functional",
    "preprocessing": "make_preprocessing",
    "activations": "make_functions",
    "losses": "make_functions",
    "optimizers": "make_optimizers",
    "schedules": "make_optimizers",
    "metrics": "make_metrics",
    "initializers": "make_functions",
    "curves": "make_curves",
    "callbacks": "make_callbacks",
}


def main(wanted):
    unknown = [stem for stem in wanted if stem not in MAKERS]
    if unknown:
        sys.exit(f"unknown: {' '.join(unknown)}; known: {' '.join(MAKERS)}")
    for stem in wanted or MAKERS:
        getattr(importlib.import_module(MAKERS[stem]), stem)()


if __name__ == "__main__":
    main(sys.argv[1:])
