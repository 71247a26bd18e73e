"""What holds in every test process.

One thread of torch: the promise of equal bytes is per thread count, and more would contend. And Ctrl-C is heard: a
shell that starts the tests in the background has it ignored, by them and by every process that they start.
"""

import signal

import torch

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
