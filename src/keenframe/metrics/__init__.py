"""Yardsticks for pictures and clips against their references, in numpy alone.

Everything in the project that calls a picture better or worse measures by these: the demo, `keenframe evaluate`,
the training side's validations and tables. docs/evaluate.md says in words what each one means.

    psnr, ssim               fidelity to the reference, of one plane or of all channels
    luma                     what "of luma" means: BT.601, limited range
    Edges                    sharpness and halos at the reference's edges
    blockiness               steps on a codec's grid
    colour_drift             how far colours moved
    Flicker, motion          what trembles from frame to frame, also along the motion
    character_error_rate     how much of a text is read wrongly
    worst_mean, share_above  the tail of many values
    mean_interval            how far a mean depends on which items there were
"""

from keenframe.metrics.blocks import blockiness as blockiness
from keenframe.metrics.colour import colour_drift as colour_drift
from keenframe.metrics.colour import lab as lab
from keenframe.metrics.edges import Edges as Edges
from keenframe.metrics.edges import gradient as gradient
from keenframe.metrics.fidelity import CEILING_DB as CEILING_DB
from keenframe.metrics.fidelity import luma as luma
from keenframe.metrics.fidelity import psnr as psnr
from keenframe.metrics.fidelity import ssim as ssim
from keenframe.metrics.spread import mean_interval as mean_interval
from keenframe.metrics.spread import share_above as share_above
from keenframe.metrics.spread import worst_mean as worst_mean
from keenframe.metrics.temporal import Flicker as Flicker
from keenframe.metrics.temporal import motion as motion
from keenframe.metrics.temporal import moved as moved
from keenframe.metrics.text import character_error_rate as character_error_rate
from keenframe.metrics.text import edit_distance as edit_distance
