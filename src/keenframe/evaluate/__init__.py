"""Measuring models and baselines on any pictures and clips: `keenframe evaluate`.

material     what there is to measure: pristine files, their degraded twins, categories
presets      ways to damage pristine material, found as plugins
methods      what is compared: the input, filters, unsharp masks, models
measures     every measure's name, unit and direction
judge        the measures of one picture or one frame
stills       one picture, and clips: one clip, through every method
extras       what needs other programs: Tesseract, VMAF, LPIPS
run          the folder of a run: its arguments and its journal
work         all items, in several processes
summary      means, gains, tails; gates for CI
report       the HTML page; svg, crops and curves draw its parts
"""
