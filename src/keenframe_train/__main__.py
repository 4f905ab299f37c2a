"""`python -m keenframe_train`."""

from keenframe_train.cli import main

main()
