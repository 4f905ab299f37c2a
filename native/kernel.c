#include "keen.h"

#include <immintrin.h>

#define MARGIN 64
#define LANES 16           // positions in a vector
#define WIDE 3             // vectors of positions that are computed at a time
#define STEP (LANES * WIDE)
#define BYTES (4 * LANES)  // of a vector
#define SLOPE 0.1f
#define WIDEST 8192  // pixels of a line, in `keenframe_keep`

typedef __m512i ints;
typedef __m512 floats;

#define INLINE static inline __attribute__((always_inline))

INLINE uint8_t *row_of(const plane *p, int y) {
  int slot = y < 0 || y >= p->height ? p->ring : y % p->ring;
  return p->data + (int64_t)slot * p->groups * p->pitch + MARGIN;
}

INLINE ints load(const uint8_t *at) { return _mm512_loadu_si512(at); }

// Positions 0, 2, 4 .. 30 from `at` on, or with odd 1, 3 .. 31.
INLINE ints load_every_second(const uint8_t *at, int odd) {
  const ints even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return _mm512_permutex2var_epi32(load(at), _mm512_add_epi32(even, _mm512_set1_epi32(odd)), load(at + BYTES));
}

INLINE ints weight_of(const int8_t *at) {
  int32_t four;
  __builtin_memcpy(&four, at, 4);
  return _mm512_set1_epi32(four);
}

// Sums of eight outputs at STEP positions. Each tap is a pointer to the first group of its row, moved by its column.
INLINE void sums(ints acc[8][WIDE], const uint8_t *const *taps, int count, int groups, int64_t pitch, const int8_t *weights,
                 const int32_t *start, int every_second) {
  for (int o = 0; o < 8; o++)
    for (int v = 0; v < WIDE; v++) acc[o][v] = _mm512_set1_epi32(start[o]);
  for (int t = 0; t < count; t++) {
    const uint8_t *at = taps[t];
    for (int g = 0; g < groups; g++, at += pitch, weights += 32) {
      ints x[WIDE];
      for (int v = 0; v < WIDE; v++)
        x[v] = every_second ? load_every_second(at + 2 * BYTES * v, t & 1) : load(at + BYTES * v);
#pragma clang loop unroll(full)
      for (int o = 0; o < 8; o++) {
        ints w = weight_of(weights + 4 * o);
#pragma clang loop unroll(full)
        for (int v = 0; v < WIDE; v++) acc[o][v] = _mm512_dpbusd_epi32(acc[o][v], x[v], w);
      }
    }
  }
}

// Byte k of every four, as numbers.
INLINE floats byte_of(ints fours, int k) {
  return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(fours, 8 * k), _mm512_set1_epi32(255)));
}

// Four whole numbers at 16 positions -> bytes, saturated, the four of a position side by side.
INLINE ints bytes_of(const ints whole[4]) {
  // Packing leaves in each 128 bits four positions of the first number, four of the second ...
  ints low = _mm512_packs_epi32(whole[0], whole[1]), high = _mm512_packs_epi32(whole[2], whole[3]);
  const ints turned = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return _mm512_shuffle_epi8(_mm512_packus_epi16(low, high), turned);
}

// Four outputs' sums at 16 positions -> codes of the target, the four bytes of a position side by side.
INLINE ints codes_of(const ints acc[4], const float *scale, const float *shift, int leaky, const uint8_t *residual,
                     float gain, ints zero) {
  ints whole[4], added = residual ? load(residual) : _mm512_setzero_si512();
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    floats y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[k]), _mm512_set1_ps(scale[k]), _mm512_set1_ps(shift[k]));
    if (residual) y = _mm512_fmadd_ps(byte_of(added, k), _mm512_set1_ps(gain), y);
    if (leaky) y = _mm512_max_ps(y, _mm512_mul_ps(y, _mm512_set1_ps(SLOPE)));
    whole[k] = _mm512_add_epi32(_mm512_cvtps_epi32(y), zero);
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
  ints zero = _mm512_set1_epi32(to->zero);
  for (int x = 0; x < to->width; x += STEP) {
    for (int t = 0; t < count; t++) taps[t] = rows[t] + 4 * step * x;
    for (int o = 0; o < l->outputs; o += 8) {
      ints acc[8][WIDE];
      sums(acc, taps, count, groups, from->pitch, l->weights + (int64_t)o * count * l->inputs, l->start + o,
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
          _mm512_storeu_si512(out + first / 4 * to->pitch + at, codes);
        }
    }
  }
  close_row(to, out);
}

// Every position of the source becomes 2x2 of the target: a convolution of one tap for each of the four.
INLINE void enlarge(const layer *l, const plane *planes, int y, int leaky) {
  const plane *from = &planes[l->source], *to = &planes[l->target], *kept = &planes[l->residual];
  const ints early = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const ints late = _mm512_add_epi32(early, _mm512_set1_epi32(8));
  const uint8_t *source = row_of(from, y);
  int groups = l->inputs / 4;
  ints zero = _mm512_set1_epi32(to->zero);
  for (int dy = 0; dy < 2; dy++) {
    uint8_t *out = row_of(to, 2 * y + dy);
    const uint8_t *added = row_of(kept, 2 * y + dy);
    for (int x = 0; x < from->width; x += STEP) {
      for (int o = 0; o < l->outputs; o += 4) {
        // Four outputs for the even columns, then the same four for the odd ones.
        const int8_t *weights = l->weights + ((int64_t)(o / 4) * 2 + dy) * groups * 32;
        const uint8_t *tap = source + 4 * x;
        ints acc[8][WIDE];
        sums(acc, &tap, 1, groups, from->pitch, weights, l->start + (o / 4 * 2 + dy) * 8, 0);
#pragma clang loop unroll(full)
        for (int v = 0; v < WIDE; v++) {
#pragma clang loop unroll(full)
          for (int side = 0; side < 2; side++) {
            ints four[4];
            for (int k = 0; k < 4; k++)
              four[k] = _mm512_permutex2var_epi32(acc[k][v], side ? late : early, acc[4 + k][v]);
            int64_t at = 8 * x + BYTES * (2 * v + side);
            ints codes = codes_of(four, l->scale + o, l->shift + o, leaky, added + o / 4 * kept->pitch + at, l->gain, zero);
            _mm512_storeu_si512(out + o / 4 * to->pitch + at, codes);
          }
        }
      }
    }
    close_row(to, out);
  }
}

// 16 positions' pixels, four bytes of each in each of the four vectors, into (16, 16) bytes.
INLINE void store_blocks(uint8_t *to, const ints quads[4], int count) {
  ints a = _mm512_unpacklo_epi32(quads[0], quads[1]), b = _mm512_unpackhi_epi32(quads[0], quads[1]);
  ints c = _mm512_unpacklo_epi32(quads[2], quads[3]), d = _mm512_unpackhi_epi32(quads[2], quads[3]);
  ints turned[4] = {_mm512_unpacklo_epi64(a, c), _mm512_unpackhi_epi64(a, c), _mm512_unpacklo_epi64(b, d),
                    _mm512_unpackhi_epi64(b, d)};
  // Of each vector the 128 bits number i are position 4 i and what it is itself.
  uint8_t whole[16 * 16] __attribute__((aligned(64)));
  for (int k = 0; k < 4; k++) {
    _mm_store_si128((__m128i *)(whole + 16 * k), _mm512_extracti32x4_epi32(turned[k], 0));
    _mm_store_si128((__m128i *)(whole + 16 * (4 + k)), _mm512_extracti32x4_epi32(turned[k], 1));
    _mm_store_si128((__m128i *)(whole + 16 * (8 + k)), _mm512_extracti32x4_epi32(turned[k], 2));
    _mm_store_si128((__m128i *)(whole + 16 * (12 + k)), _mm512_extracti32x4_epi32(turned[k], 3));
  }
  if (count >= 16) {
    for (int k = 0; k < 4; k++) _mm512_storeu_si512(to + 64 * k, _mm512_load_si512(whole + 64 * k));
  } else {
    for (int k = 0; k < count; k++)
      _mm_storeu_si128((__m128i *)(to + 16 * k), _mm_load_si128((__m128i *)(whole + 16 * k)));
  }
}

// The last layer: coefficients by a convolution, pixels from them, and the picture that they are added to.
static void finish(const layer *l, const plane *planes, const picture *p, int y) {
  const plane *from = &planes[l->source], *own = &planes[0];
  const uint8_t *rows[9], *taps[9];
  int count = taps_of(l, from, y, rows), groups = l->inputs / 4;
  const uint8_t *luma = row_of(own, y);
  const ints sixteenths = _mm512_setr_epi32(0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240);
  floats strength = _mm512_set1_ps(p->strength);
  for (int x = 0; x < p->columns; x += STEP) {
    for (int t = 0; t < count; t++) taps[t] = rows[t] + 4 * x;
    floats coefficients[16][WIDE];
    for (int o = 0; o < 16; o += 8) {
      ints acc[8][WIDE];
      sums(acc, taps, count, groups, from->pitch, l->weights + (int64_t)o * count * l->inputs, l->start + o, 0);
#pragma clang loop unroll(full)
      for (int k = 0; k < 8; k++)
#pragma clang loop unroll(full)
        for (int v = 0; v < WIDE; v++)
          coefficients[o + k][v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[k][v]), _mm512_set1_ps(l->scale[o + k]),
                                                   _mm512_set1_ps(l->shift[o + k]));
    }
    for (int v = 0; v < WIDE; v++) {
      int column = x + LANES * v, left = p->columns - column;
      if (left <= 0) break;
      int64_t block = ((int64_t)y * p->columns + column) * 16;
      __mmask16 inside = left >= LANES ? 0xFFFF : (__mmask16)((1u << left) - 1);
      floats keep = _mm512_setzero_ps();
      if (p->previous) keep = _mm512_maskz_loadu_ps(inside, p->keep + (int64_t)y * p->columns + column);
      ints quads[4];
      for (int g = 0; g < 4; g++) {
        floats pixel[4];
        for (int k = 0; k < 4; k++) pixel[k] = _mm512_setzero_ps();
#pragma clang loop unroll(full)
        for (int c = 0; c < 16; c++)
#pragma clang loop unroll(full)
          for (int k = 0; k < 4; k++)
            pixel[k] = _mm512_fmadd_ps(coefficients[c][v], _mm512_set1_ps(p->basis[16 * (4 * g + k) + c]), pixel[k]);
        if (p->correction) {
          float lanes[LANES];
          for (int k = 0; k < 4; k++) {
            _mm512_storeu_ps(lanes, pixel[k]);
            for (int i = 0; i < LANES && i < left; i++) p->correction[block + 16 * i + 4 * g + k] = lanes[i];
          }
          continue;
        }
        ints own_four = load(luma + g * own->pitch + 4 * column), before = _mm512_setzero_si512(), whole[4];
        if (p->previous)
          before = _mm512_mask_i32gather_epi32(before, inside, sixteenths, p->previous + block + 4 * g, 1);
        for (int k = 0; k < 4; k++) {
          floats sharp = _mm512_fmadd_ps(pixel[k], strength, byte_of(own_four, k));
          if (p->previous) sharp = _mm512_fmadd_ps(keep, _mm512_sub_ps(byte_of(before, k), sharp), sharp);
          whole[k] = _mm512_cvtps_epi32(sharp);
        }
        quads[g] = bytes_of(whole);
      }
      if (!p->correction) store_blocks(p->pixels + block, quads, left);
    }
  }
}

static void read_luma(const layer *l, const plane *planes, const picture *p, int y) {
  const plane *to = &planes[l->target];
  uint8_t *out = row_of(to, y);
  for (int g = 0; g < 4; g++) {
    const uint8_t *line = p->luma + (4 * (int64_t)y + g) * p->stride;
    for (int x = 0; x < 4 * p->columns; x += BYTES) {
      int left = 4 * p->columns - x;
      __mmask64 inside = left >= BYTES ? ~0ull : (1ull << left) - 1;
      _mm512_storeu_si512(out + g * to->pitch + x, _mm512_maskz_loadu_epi8(inside, line + x));
    }
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
__attribute__((visibility("default"))) void keenframe_run(layer *layers, int count, const plane *planes,
                                                          const picture *p, int until) {
  for (int i = 0; i < count; i++) layers[i].done = layers[i].first - 1;
  advance(layers, count - 1, planes, p, until - 1);
}

// How far apart every second line of four pixels by four is from what it was, (columns) sums.
INLINE void differences(const uint8_t *luma, int64_t stride, const uint8_t *before, int width, int y, int32_t *sums) {
  const ints ones = _mm512_set1_epi8(1), pairs = _mm512_set1_epi16(1);
  for (int x = 0; x < width; x += BYTES) {
    __mmask64 inside = width - x >= BYTES ? ~0ull : (1ull << (width - x)) - 1;
    ints sum = _mm512_setzero_si512();
    for (int line = 0; line < 2; line++) {
      ints a = _mm512_maskz_loadu_epi8(inside, luma + (4 * (int64_t)y + 2 * line) * stride + x);
      ints b = _mm512_maskz_loadu_epi8(inside, before + (2 * (int64_t)y + line) * width + x);
      ints apart = _mm512_sub_epi8(_mm512_max_epu8(a, b), _mm512_min_epu8(a, b));
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(apart, ones), pairs));
    }
    _mm512_storeu_si512(sums + x / 4, sum);
  }
}

// `keenframe.steady.kept_share` of block rows `from` up to, but not with, `until`; width at most WIDEST.
__attribute__((visibility("default"))) void keenframe_keep(const uint8_t *luma, int64_t stride, const uint8_t *before,
                                                           int32_t height, int32_t width, float share, float change,
                                                           float *keep, int32_t from, int32_t until) {
  int32_t ring[3][WIDEST / 4 + 2 * LANES], *first = ring[0] + LANES, *second = ring[1] + LANES, *third = ring[2] + LANES;
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
