/* 3x3 convolution by Winograd's F(4x4, 3x3): a tile of 4x4 outputs costs 36 products a channel pair instead of 144.
 * Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016. In float32 it differs from the direct
 * sum by far less than what rounding to a byte leaves. */
#include "keen.h"

/* GAP keeps the 36 matrices from lying a power of two apart, where they would push each other out of the cache. */
enum { TILES = 32, EDGE = 6, GAP = 16 };

static float *spectra, *products;

#define ADD wasm_f32x4_add
#define SUB wasm_f32x4_sub
#define TIMES(x, factor) wasm_f32x4_mul(x, wasm_f32x4_const_splat(factor))

uint32_t winograd_floats(int in, int out) { return (uint32_t)POINTS * in * out; }

/* Room for the tiles of one group, for maps of at most `channels`. */
int winograd_scratch(int channels) {
  spectra = take(POINTS * (TILES * channels + GAP) * sizeof(float));
  products = take(POINTS * (TILES * channels + GAP) * sizeof(float));
  return spectra && products;
}

/* weights (out, in, 3, 3) -> 36 packed matrices (in, out). */
void winograd_weights(const float *weights, int in, int out, float *transformed) {
  static const float G[EDGE][3] = {{1 / 4.f, 0, 0},
                                   {-1 / 6.f, -1 / 6.f, -1 / 6.f},
                                   {-1 / 6.f, 1 / 6.f, -1 / 6.f},
                                   {1 / 24.f, 1 / 12.f, 1 / 6.f},
                                   {1 / 24.f, -1 / 12.f, 1 / 6.f},
                                   {0, 0, 1}};
  for (int i = 0; i < EDGE; i++)
    for (int j = 0; j < EDGE; j++) {
      float *matrix = transformed + (uint32_t)(i * EDGE + j) * in * out;
      for (int o = 0; o < out; o++)
        for (int c = 0; c < in; c++) {
          const float *kernel = weights + (o * in + c) * 9;
          double sum = 0;
          for (int y = 0; y < 3; y++)
            for (int x = 0; x < 3; x++) sum += (double)G[i][y] * kernel[3 * y + x] * G[j][x];
          matrix[((o >> 3) * in + c) * 8 + (o & 7)] = (float)sum;
        }
    }
}

/* One row or column of the input's transform. */
static inline void forward(v128_t *x, int step) {
  v128_t x0 = x[0], x1 = x[step], x2 = x[2 * step], x3 = x[3 * step], x4 = x[4 * step], x5 = x[5 * step];
  v128_t even = SUB(x4, TIMES(x2, 4)), odd = SUB(x3, TIMES(x1, 4));
  v128_t wide = SUB(x4, x2), steep = TIMES(SUB(x3, x1), 2);
  x[0] = ADD(SUB(TIMES(x0, 4), TIMES(x2, 5)), x4);
  x[step] = ADD(even, odd);
  x[2 * step] = SUB(even, odd);
  x[3 * step] = ADD(wide, steep);
  x[4 * step] = SUB(wide, steep);
  x[5 * step] = ADD(SUB(TIMES(x1, 4), TIMES(x3, 5)), x5);
}

/* One row or column of the output's transform: six in, four out. */
static inline void backward(const v128_t *x, int step, v128_t *y, int out_step) {
  v128_t near = ADD(x[step], x[2 * step]), near_odd = SUB(x[step], x[2 * step]);
  v128_t far = ADD(x[3 * step], x[4 * step]), far_odd = SUB(x[3 * step], x[4 * step]);
  y[0] = ADD(ADD(x[0], near), far);
  y[out_step] = ADD(near_odd, TIMES(far_odd, 2));
  y[2 * out_step] = ADD(near, TIMES(far, 4));
  y[3 * out_step] = ADD(ADD(near_odd, TIMES(far_odd, 8)), x[5 * step]);
}

static void transform_in(const Map *in, int tile_y, int tile_x, float *spectrum) {
  int channels = in->channels;
  const float *corner = in->origin + (tile_y * TILE - 1) * in->stride + (tile_x * TILE - 1) * channels;
  for (int c = 0; c < channels; c += 4) {
    v128_t x[POINTS];
    for (int i = 0; i < EDGE; i++)
      for (int j = 0; j < EDGE; j++) x[i * EDGE + j] = wasm_v128_load(corner + i * in->stride + j * channels + c);
    for (int j = 0; j < EDGE; j++) forward(x + j, EDGE);
    for (int i = 0; i < EDGE; i++) forward(x + i * EDGE, 1);
    for (int p = 0; p < POINTS; p++) wasm_v128_store(spectrum + p * (TILES * channels + GAP) + c, x[p]);
  }
}

static inline v128_t leaky(v128_t x) { return wasm_f32x4_pmax(x, TIMES(x, SLOPE)); }

static void transform_out(const Map *out, int tile_y, int tile_x, const float *product, const float *scale,
                          const float *shift, After after) {
  int channels = out->channels, top = tile_y * TILE, left = tile_x * TILE;
  int rows = out->height - top < TILE ? out->height - top : TILE;
  int columns = out->width - left < TILE ? out->width - left : TILE;
  float *corner = out->origin + top * out->stride + left * channels;
  for (int c = 0; c < channels; c += 4) {
    v128_t x[POINTS], half[TILE * EDGE], y[TILE * TILE];
    for (int p = 0; p < POINTS; p++) x[p] = wasm_v128_load(product + p * (TILES * channels + GAP) + c);
    for (int j = 0; j < EDGE; j++) backward(x + j, EDGE, half + j, EDGE);
    for (int i = 0; i < TILE; i++) backward(half + i * EDGE, 1, y + i * TILE, 1);
    v128_t factor = wasm_v128_load(scale + c), offset = wasm_v128_load(shift + c);
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < columns; j++) {
        float *at = corner + i * out->stride + j * channels + c;
        v128_t value = ADD(wasm_f32x4_mul(y[i * TILE + j], factor), offset);
        if (after == LEAKY) value = leaky(value);
        if (after == ADDED) value = ADD(value, wasm_v128_load(at));
        wasm_v128_store(at, value);
      }
  }
}

/* out = after(conv(in) * scale + shift); both maps are of one size, and may not be the same. */
void winograd(const Map *in, const Map *out, const float *transformed, const float *scale, const float *shift,
              After after) {
  int across = (in->width + TILE - 1) / TILE, down = (in->height + TILE - 1) / TILE;
  int all = across * down, depth = in->channels, columns = out->channels;
  for (int first = 0; first < all; first += TILES) {
    int count = all - first < TILES ? all - first : TILES;
    for (int t = 0; t < count; t++)
      transform_in(in, (first + t) / across, (first + t) % across, spectra + t * depth);
    for (int p = 0; p < POINTS; p++)
      matmul(spectra + p * (TILES * depth + GAP), depth, (count + 3) & ~3, depth, transformed + p * depth * columns, columns,
             products + p * (TILES * columns + GAP));
    for (int t = 0; t < count; t++)
      transform_out(out, (first + t) / across, (first + t) % across, products + t * columns, scale, shift, after);
  }
}
