"""Training: many runs as one stacked tensor program, each regularization scheme a small named piece."""

import os

# MKL, torch's matrix library on x86, rounds differently with the address of its arguments, and the address of a run's
# weights depends on its place in the stack. Strict mode removes that, at no cost that could be measured. MKL reads
# the variable at its first call.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
