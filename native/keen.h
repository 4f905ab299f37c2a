// The native engine: an INT8 network of `keen` as a chain of layers, each computed a row at a time as soon as the rows
// below it are there. So a row is read while it is still in the cache, and no plane of features is ever whole.
//
// A row of features holds, for every four channels, four bytes for each position: channels 4g .. 4g + 3 of position x
// are the bytes 4x .. 4x + 3 of group g. That is what VPDPBUSD and SDOT multiply; and four rows of a luma plane are such a
// row already, of 4x4 blocks as positions.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum kind { LOAD, CONV3, CONV1, DOWN, UP, TAIL };

// Rows of features, of which the last `ring` are kept. A row begins after MARGIN bytes of zero point in each group, and
// `pitch` bytes later the next group does; the row behind the ring's last is all zero point.
typedef struct {
  uint8_t *data;
  int32_t groups, width, height, ring, zero;
  int64_t pitch;
} plane;

// One layer. first: the first row that this call needs of it; done: rows up to here are computed, kept by `run`.
// weights: int8 by blocks of eight outputs (UP: four), then tap, group of inputs, output, input; UP has a tap for each
// of the four pixels, as (row, column), and in each block the four outputs of the left pixel before those of the right one.
// Where `keenframe_bits_of_a_weight` is 16, int16, and of the four inputs the first and third before the others.
// start: what the sums begin with, in the same order: the zero point is nothing then, though each code counts as
// `keenframe_code_offset` less. scale, shift: of the sums, for each output, in steps of the target; TAIL: in code values of
// the coefficients. residual: the plane that is added, or -1, times `gain`; its zero point is in `shift`.
typedef struct {
  int32_t kind, source, target, residual, inputs, outputs, leaky, first, done;
  float gain;
  const int8_t *weights;
  const int32_t *start;
  const float *scale, *shift;
} layer;

// What the whole plane goes through. luma: (4 rows, 4 columns) bytes. pixels: (rows, columns, 16) bytes, or NULL, in which
// case `correction`, as many floats, gets what would have been added. basis: 16x16 floats, pixel by coefficient.
// previous, keep: as `keenframe.steady` has them, or NULL.
typedef struct {
  const uint8_t *luma;
  int64_t stride;
  int32_t rows, columns;
  uint8_t *pixels;
  float *correction;
  const float *basis;
  float strength;
  const uint8_t *previous;
  const float *keep;
} picture;
