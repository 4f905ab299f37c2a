"""keenframe's models against other ways to sharpen and to enlarge: quality and time, in one command.

    python -m benchmarks.peers --data DIR --weights DIR

Quality is measured on pictures damaged as the five source reports and a call damage them, time on 1080p frames with two
threads, all methods in turn in one run. Weights of others come from --weights; a method whose weights are not there
is listed as not run. README.md beside this file says how each is treated.
"""
