#include "keen.h"
#include "vector.h"

#define MARGIN 64
#define STEP (LANES * WIDE)  // positions that are computed at a time
#define SLOPE 0.1f
#ifdef _WIN32
#include "dll.h"
#else
#define VISIBLE __attribute__((visibility("default")))
#define REACH_STACK()
#endif

VISIBLE const int32_t keenframe_code_offset = CODE_OFFSET, keenframe_bits_of_a_weight = 2 * FOUR;

INLINE uint8_t *row_of(const plane *p, int y) {
  int slot = y < 0 || y >= p->height ? p->ring : y % p->ring;
  return p->data + (int64_t)slot * p->groups * p->pitch + MARGIN;
}

// Positions 0, 2, 4 .. 30 from `at` on, or with odd 1, 3 .. 31.
INLINE ints load_every_second(const uint8_t *at, int odd) {
  ints first = load(at), second = load(at + BYTES);
  return odd ? CHOOSE(first, second, ODD) : CHOOSE(first, second, EVEN);
}

// Sums of eight outputs at STEP positions. Each tap is a pointer to the first group of its row, moved by its column.
INLINE void sums(ints acc[8][WIDE], const uint8_t *const *taps, int count, int groups, int64_t pitch, const int8_t *kernel,
                 const int32_t *start, int every_second) {
#pragma clang loop unroll(full)
  for (int first = 0; first < 8; first += AT_ONCE) {
    const int8_t *w = kernel + FOUR * first;
    ints sum[AT_ONCE][WIDE];
    for (int o = 0; o < AT_ONCE; o++)
      for (int v = 0; v < WIDE; v++) sum[o][v] = all(start[first + o]);
    for (int t = 0; t < count; t++) {
      const uint8_t *at = taps[t];
      for (int g = 0; g < groups; g++, at += pitch, w += 8 * FOUR) {
        ints x[WIDE];
        for (int v = 0; v < WIDE; v++)
          x[v] = every_second ? load_every_second(at + 2 * BYTES * v, t & 1) : load(at + BYTES * v);
#pragma clang loop unroll(full)
        for (int o = 0; o < AT_ONCE; o++) {
          weights four = weights_of(w + FOUR * o);
#pragma clang loop unroll(full)
          for (int v = 0; v < WIDE; v++) sum[o][v] = dot(sum[o][v], x[v], four);
        }
      }
    }
    for (int o = 0; o < AT_ONCE; o++)
      for (int v = 0; v < WIDE; v++) acc[first + o][v] = sum[o][v];
  }
}

// Byte k of every four, as numbers.
INLINE floats byte_of(ints fours, int k) { return real((ints)((unsigneds)fours >> (8 * k) & 255)); }

// Four outputs' sums -> codes of the target, the four bytes of a position side by side.
INLINE ints codes_of(const ints acc[4], const float *scale, const float *shift, int leaky, const uint8_t *residual,
                     float gain, ints zero) {
  ints whole[4], added = residual ? load(residual) : all(0);
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    floats y = real(acc[k]) * scale[k] + shift[k];
    if (residual) y = byte_of(added, k) * gain + y;
    if (leaky) y = larger(y, y * SLOPE);
    whole[k] = nearest(y) + zero;
  }
  return bytes_of(whole);
}

// The position behind the last is the border that the next layer reads.
INLINE void close_row(const plane *p, uint8_t *row) {
  uint32_t four = (uint32_t)p->zero * 0x01010101u;
  for (int g = 0; g < p->groups; g++) __builtin_memcpy(row + g * p->pitch + 4 * p->width, &four, 4);
}

INLINE int taps_of(const layer *l, const plane *from, int y, const uint8_t *taps[9]) {
  int count = 0;
  if (l->kind == CONV1 || l->kind == UP) {
    taps[count++] = row_of(from, y);
  } else if (l->kind == DOWN) {
    for (int dy = 0; dy < 2; dy++)
      for (int dx = 0; dx < 2; dx++) taps[count++] = row_of(from, 2 * y + dy);  // the column by `load_every_second`
  } else {
    for (int dy = -1; dy <= 1; dy++)
      for (int dx = -1; dx <= 1; dx++) taps[count++] = row_of(from, y + dy) + 4 * dx;
  }
  return count;
}

INLINE void convolve(const layer *l, const plane *planes, int y, int leaky, int has_residual, int every_second) {
  const plane *from = &planes[l->source], *to = &planes[l->target];
  const uint8_t *rows[9], *taps[9];
  int count = taps_of(l, from, y, rows), groups = l->inputs / 4, step = every_second ? 2 : 1;
  uint8_t *out = row_of(to, y);
  const uint8_t *kept = has_residual ? row_of(&planes[l->residual], y) : 0;
  int64_t kept_pitch = has_residual ? planes[l->residual].pitch : 0;
  ints zero = all(to->zero);
  for (int x = 0; x < to->width; x += STEP) {
    for (int t = 0; t < count; t++) taps[t] = rows[t] + 4 * step * x;
    for (int o = 0; o < l->outputs; o += 8) {
      ints acc[8][WIDE];
      sums(acc, taps, count, groups, from->pitch, l->weights + (int64_t)o * count * groups * FOUR, l->start + o,
           every_second);
#pragma clang loop unroll(full)
      for (int half = 0; half < 2; half++)
#pragma clang loop unroll(full)
        for (int v = 0; v < WIDE; v++) {
          int first = o + 4 * half;
          ints four[4] = {acc[4 * half][v], acc[4 * half + 1][v], acc[4 * half + 2][v], acc[4 * half + 3][v]};
          int64_t at = 4 * x + BYTES * v;
          const uint8_t *residual = has_residual ? kept + first / 4 * kept_pitch + at : 0;
          ints codes = codes_of(four, l->scale + first, l->shift + first, leaky, residual, l->gain, zero);
          store(out + first / 4 * to->pitch + at, codes);
        }
    }
  }
  close_row(to, out);
}

// Every position of the source becomes 2x2 of the target: a convolution of one tap for each of the four.
INLINE void enlarge(const layer *l, const plane *planes, int y, int leaky) {
  const plane *from = &planes[l->source], *to = &planes[l->target], *kept = &planes[l->residual];
  const uint8_t *source = row_of(from, y);
  int groups = l->inputs / 4;
  ints zero = all(to->zero);
  for (int dy = 0; dy < 2; dy++) {
    uint8_t *out = row_of(to, 2 * y + dy);
    const uint8_t *added = row_of(kept, 2 * y + dy);
    for (int x = 0; x < from->width; x += STEP) {
      for (int o = 0; o < l->outputs; o += 4) {
        // Four outputs for the even columns, then the same four for the odd ones.
        const int8_t *kernel = l->weights + ((int64_t)(o / 4) * 2 + dy) * groups * 8 * FOUR;
        const uint8_t *tap = source + 4 * x;
        ints acc[8][WIDE];
        sums(acc, &tap, 1, groups, from->pitch, kernel, l->start + (o / 4 * 2 + dy) * 8, 0);
#pragma clang loop unroll(full)
        for (int v = 0; v < WIDE; v++) {
#pragma clang loop unroll(full)
          for (int side = 0; side < 2; side++) {
            ints four[4];
            for (int k = 0; k < 4; k++)
              four[k] = side ? CHOOSE(acc[k][v], acc[4 + k][v], LATE) : CHOOSE(acc[k][v], acc[4 + k][v], EARLY);
            int64_t at = 8 * x + BYTES * (2 * v + side);
            ints codes = codes_of(four, l->scale + o, l->shift + o, leaky, added + o / 4 * kept->pitch + at, l->gain, zero);
            store(out + o / 4 * to->pitch + at, codes);
          }
        }
      }
    }
    close_row(to, out);
  }
}

// The first `count` positions' sixteen pixels each, four bytes of every position in each of the four vectors.
INLINE void store_blocks(uint8_t *to, const ints fours[4], int count) {
  ints turned[4];
  turn(turned, fours);
#pragma clang loop unroll(full)
  for (int i = 0; i < LANES; i++)  // of each vector the 128 bits number i are position 4 i and what it is itself
    if (i < count) __builtin_memcpy(to + 16 * i, (quad *)&turned[i % 4] + i / 4, 16);
}

INLINE void load_blocks(ints fours[4], const uint8_t *from, int count) {
  ints turned[4] = {0};
#pragma clang loop unroll(full)
  for (int i = 0; i < LANES; i++)
    if (i < count) __builtin_memcpy((quad *)&turned[i % 4] + i / 4, from + 16 * i, 16);
  turn(fours, turned);
}

// The last layer: coefficients by a convolution, pixels from them, and the picture that they are added to.
static void finish(const layer *l, const plane *planes, const picture *p, int y) {
  const plane *from = &planes[l->source], *own = &planes[0];
  const uint8_t *rows[9], *taps[9];
  int count = taps_of(l, from, y, rows), groups = l->inputs / 4;
  const uint8_t *luma = row_of(own, y);
  for (int x = 0; x < p->columns; x += STEP) {
    for (int t = 0; t < count; t++) taps[t] = rows[t] + 4 * x;
    floats coefficients[16][WIDE];
    for (int o = 0; o < 16; o += 8) {
      ints acc[8][WIDE];
      sums(acc, taps, count, groups, from->pitch, l->weights + (int64_t)o * count * groups * FOUR, l->start + o, 0);
#pragma clang loop unroll(full)
      for (int k = 0; k < 8; k++)
#pragma clang loop unroll(full)
        for (int v = 0; v < WIDE; v++)
          coefficients[o + k][v] = real(acc[k][v]) * l->scale[o + k] + l->shift[o + k];
    }
    for (int v = 0; v < WIDE; v++) {
      int column = x + LANES * v, left = p->columns - column;
      if (left <= 0) break;
      int64_t block = ((int64_t)y * p->columns + column) * 16;
      floats keep;
      ints before[4], after[4];
      if (p->previous) {
        keep = (floats)load_some((const uint8_t *)(p->keep + (int64_t)y * p->columns + column), 4 * left);
        load_blocks(before, p->previous + block, left);
      }
      for (int g = 0; g < 4; g++) {
        floats pixel[4];
        for (int k = 0; k < 4; k++) pixel[k] = (floats){0};
#pragma clang loop unroll(full)
        for (int c = 0; c < 16; c++)
#pragma clang loop unroll(full)
          for (int k = 0; k < 4; k++)
            pixel[k] = coefficients[c][v] * p->basis[16 * (4 * g + k) + c] + pixel[k];
        if (p->correction) {
          float lanes[LANES];
          for (int k = 0; k < 4; k++) {
            store(lanes, (ints)pixel[k]);
            for (int i = 0; i < LANES && i < left; i++) p->correction[block + 16 * i + 4 * g + k] = lanes[i];
          }
          continue;
        }
        ints own_four = load(luma + g * own->pitch + 4 * column), whole[4];
        for (int k = 0; k < 4; k++) {
          floats sharp = pixel[k] * p->strength + byte_of(own_four, k);
          if (p->previous) sharp = keep * (byte_of(before[g], k) - sharp) + sharp;
          whole[k] = nearest(sharp);
        }
        after[g] = bytes_of(whole);
      }
      if (!p->correction) store_blocks(p->pixels + block, after, left);
    }
  }
}

static void read_luma(const layer *l, const plane *planes, const picture *p, int y) {
  const plane *to = &planes[l->target];
  uint8_t *out = row_of(to, y);
  for (int g = 0; g < 4; g++) {
    const uint8_t *line = p->luma + (4 * (int64_t)y + g) * p->stride;
    for (int x = 0; x < 4 * p->columns; x += BYTES)
      store(out + g * to->pitch + x, load_some(line + x, 4 * p->columns - x));
  }
  close_row(to, out);
}

// Rows of a layer's source that its row y reads: up to and with this one.
INLINE int last_read(const layer *l, int y) {
  return l->kind == DOWN ? 2 * y + 1 : l->kind == CONV3 || l->kind == TAIL ? y + 1 : y;
}

// Computes layer `index` up to and with row `until` of its own (UP: of its source), and before that what it reads.
static void advance(layer *layers, int index, const plane *planes, const picture *p, int until) {
  layer *l = &layers[index];
  for (int y = l->done + 1; y <= until; y++) {
    if (l->kind != LOAD) {
      layer *below = &layers[index - 1];
      int rows = planes[l->source].height, needed = last_read(l, y);
      if (needed > rows - 1) needed = rows - 1;
      advance(layers, index - 1, planes, p, below->kind == UP ? needed / 2 : needed);
    }
    switch (l->kind) {
      case LOAD: read_luma(l, planes, p, y); break;
      case TAIL: finish(l, planes, p, y); break;
      case UP: l->leaky ? enlarge(l, planes, y, 1) : enlarge(l, planes, y, 0); break;
      case DOWN: l->leaky ? convolve(l, planes, y, 1, 0, 1) : convolve(l, planes, y, 0, 0, 1); break;
      default:
        if (l->residual >= 0)
          l->leaky ? convolve(l, planes, y, 1, 1, 0) : convolve(l, planes, y, 0, 1, 0);
        else
          l->leaky ? convolve(l, planes, y, 1, 0, 0) : convolve(l, planes, y, 0, 0, 0);
    }
    l->done = y;
  }
}

// Rows `from` up to, but not with, `until` of the network's output, in a workspace of one's own.
VISIBLE void keenframe_run(layer *layers, int count, const plane *planes, const picture *p, int until) {
  REACH_STACK();
  for (int i = 0; i < count; i++) layers[i].done = layers[i].first - 1;
  advance(layers, count - 1, planes, p, until - 1);
}

// How far apart every second line of four pixels by four is from what it was, (columns) sums.
INLINE void differences(const uint8_t *luma, int64_t stride, const uint8_t *before, int width, int y, int32_t *sums) {
  for (int x = 0; x < width; x += BYTES) {
    ints sum = all(0);
    for (int line = 0; line < 2; line++)
      sum += apart(load_some(luma + (4 * (int64_t)y + 2 * line) * stride + x, width - x),
                   load_some(before + (2 * (int64_t)y + line) * width + x, width - x));
    store(sums + x / 4, sum);
  }
}

// `keenframe.steady.kept_share` of block rows `from` up to, but not with, `until`. lines: memory for three lines of width / 4
// numbers, rounded up to whole vectors, with a vector before and behind each.
VISIBLE void keenframe_keep(const uint8_t *luma, int64_t stride, const uint8_t *before, int32_t height, int32_t width,
                            float share, float change, float *keep, int32_t *lines, int32_t from, int32_t until) {
  int32_t pitch = (width / 4 + LANES - 1) / LANES * LANES + 2 * LANES;
  int32_t *first = lines + LANES, *second = first + pitch, *third = second + pitch;
  int rows = height / 4, columns = width / 4;
  differences(luma, stride, before, width, from ? from - 1 : 0, first);
  differences(luma, stride, before, width, from, second);
  for (int y = from; y < until; y++) {
    differences(luma, stride, before, width, y + 1 < rows ? y + 1 : y, third);
    for (int x = 0; x < columns; x++) first[x] += second[x] + third[x];  // `first` is not needed any more
    first[-1] = first[0];
    first[columns] = first[columns - 1];
    float *out = keep + (int64_t)y * columns;
    for (int x = 0; x < columns; x++) {
      float still = 1 - (float)(first[x - 1] + first[x] + first[x + 1]) / 72 / change;
      still = still < 0 ? 0 : still;
      out[x] = share * (still > 1 ? 1 : still);
    }
    int32_t *spare = first;
    first = second;
    second = third;
    third = spare;
  }
}
