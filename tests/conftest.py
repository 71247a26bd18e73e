"""One thread of torch in every test process: the promise of equal bytes is per thread count, and more would contend."""

import torch

torch.set_num_threads(1)
