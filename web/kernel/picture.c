/* What a frame needs around the network: enlarging planes, and luma from and to RGB. */
#include "keen.h"

enum { CHANNELS = 4 };

static uint8_t *space;
static uint32_t space_bytes;
static int32_t left[SIDE_MAX], right[SIDE_MAX];
static float share[SIDE_MAX], rows[2][SIDE_MAX * CHANNELS];

/* At least so many bytes to work on, the same ones until more are asked for; NULL when memory is short. Only for
 * instances that hold no model. */
EXPORT(room) uint8_t *room(uint32_t bytes) {
  if (bytes <= space_bytes) return space;
  release(space ? (uint32_t)space : mark());
  space = take(bytes);
  space_bytes = space ? bytes : 0;
  return space;
}

/* Where a sample of the large plane lies in the small one, cut to it. siting: where samples lie from the centre of
 * their cells, in samples. */
static float place(int at, int small, int large, float siting) {
  float position = (at + 0.5f + siting) * small / large - 0.5f - siting;
  return position < 0 ? 0 : position > small - 1 ? small - 1 : position;
}

static void widen(const uint8_t *from, int channels, int width, float *to) {
  if (channels == 1) {
    for (int x = 0; x < width; x++) to[x] = from[left[x]] + share[x] * (from[right[x]] - from[left[x]]);
    return;
  }
  for (int x = 0; x < width; x++)
    for (int c = 0; c < channels; c++) {
      float a = from[left[x] * channels + c], b = from[right[x] * channels + c];
      to[x * channels + c] = a + share[x] * (b - a);
    }
}

/* Bilinear, from (height, width, channels) to (large_height, large_width, channels), edges repeated; channels 1 to 4.
 * quarters: horizontal siting in quarters of a sample: -1 for chroma on the left one of its two luma samples. */
EXPORT(enlarge)
void enlarge(const uint8_t *from, int width, int height, int channels, uint8_t *to, int large_width, int large_height,
             int quarters) {
  for (int x = 0; x < large_width; x++) {
    float position = place(x, width, large_width, quarters / 4.f);
    left[x] = (int)position;
    right[x] = left[x] + 1 < width ? left[x] + 1 : left[x];
    share[x] = position - left[x];
  }
  int held[2] = {-1, -1}, row = large_width * channels;
  for (int y = 0; y < large_height; y++, to += row) {
    float position = place(y, height, large_height, 0);
    int upper = (int)position, lower = upper + 1 < height ? upper + 1 : upper;
    for (int wanted = upper; wanted <= lower; wanted++)
      if (held[wanted & 1] != wanted) {
        widen(from + wanted * width * channels, channels, large_width, rows[wanted & 1]);
        held[wanted & 1] = wanted;
      }
    const float *a = rows[upper & 1], *b = rows[lower & 1];
    v128_t part = wasm_f32x4_splat(position - upper);
    int x = 0;
    for (; x + 4 <= row; x += 4) {
      v128_t first = wasm_v128_load(a + x), second = wasm_v128_load(b + x);
      store_bytes(to + x, wasm_f32x4_add(first, wasm_f32x4_mul(part, wasm_f32x4_sub(second, first))));
    }
    for (; x < row; x++) to[x] = (uint8_t)__builtin_rintf(a[x] + (position - upper) * (b[x] - a[x]));
  }
}

/* BT.601 luma, full range, of RGBA, or of BGRA where `reversed`; keenframe.color.luma_of_rgb. */
EXPORT(luma_of_rgba) void luma_of_rgba(const uint8_t *pixels, int count, int reversed, uint8_t *luma) {
  int red = reversed ? 29 : 77, blue = reversed ? 77 : 29;
  for (int i = 0; i < count; i++, pixels += 4)
    luma[i] = (uint8_t)((red * pixels[0] + 150 * pixels[1] + blue * pixels[2] + 128) >> 8);
}

/* Give RGBA pixels what their luma was given: the same step on all three colours. */
EXPORT(add_to_rgba) void add_to_rgba(uint8_t *pixels, int count, const uint8_t *before, const uint8_t *after) {
  for (int i = 0; i < count; i++, pixels += 4) {
    int step = after[i] - before[i];
    for (int c = 0; c < 3; c++) {
      int value = pixels[c] + step;
      pixels[c] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
  }
}
