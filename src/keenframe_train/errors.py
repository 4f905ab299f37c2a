"""What the training side refuses, on top of the runtime's exceptions.

Exception
└── TrainError         bad data folder, bank, recipe or checkpoint; the message says what to do
"""

from __future__ import annotations


class TrainError(Exception):
    """Data, bank, recipe or checkpoint that cannot be used; the message says what came and what to do."""
