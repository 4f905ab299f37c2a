/* The `keen` network and what surrounds it for one frame, as WebAssembly: shared declarations.
 *
 * Feature maps hold their channels last, in float32, inside a border of zeros, so that a 3x3 convolution reads its
 * padding like any other position.
 */
#ifndef KEEN_H
#define KEEN_H

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))

enum {
  BLOCK = 4,            /* edge of the pixel block that is one position of the head */
  PIXELS = 16,          /* its pixels, and its DCT bands */
  CONDITION = 128,      /* log statistics of the 8x8 DCT: keenframe.condition */
  PERIODS = 31,         /* amplitudes of what enlarging leaves: keenframe.periodicity */
  SEEN = CONDITION + PERIODS,
  TILE = 4,             /* edge of a Winograd output tile, F(4x4, 3x3) */
  POINTS = 36,          /* elements of a transformed tile, 6x6 */
  BLOCKS_MAX = 8,
  EXPERTS_MAX = 8,
  CHANNELS_MAX = 256,
  SIDE_MAX = 4096
};

#define SLOPE 0.1f

/* Four floats, of at most 2^21 either way, rounded to the even integer and cut to bytes: beyond 1.5 * 2^23 the sum's
 * last bits are the integer, at a third of what nearest and truncate cost. */
static inline void store_bytes(uint8_t *to, v128_t values) {
  v128_t bits = wasm_f32x4_add(values, wasm_f32x4_const_splat(12582912.0f));
  v128_t words = wasm_i32x4_sub(bits, wasm_i32x4_const_splat(0x4b400000));
  words = wasm_i16x8_narrow_i32x4(words, words);
  wasm_v128_store32_lane(to, wasm_u8x16_narrow_i16x8(words, words), 0);
}

static inline float dot(const float *a, const float *b, int count) {
  float sum = 0;
  for (int i = 0; i < count; i++) sum += a[i] * b[i];
  return sum;
}

/* memory.c: memory grows on demand and is given back only as a whole, down to a mark. */
void *take(uint32_t bytes);
uint32_t mark(void);
void release(uint32_t to);
int exhausted(void);

/* A plane of positions inside a border: `origin` is position (0, 0), rows are `stride` floats apart. */
typedef struct {
  float *origin;
  int width, height, channels, stride;
} Map;

int map_new(Map *map, int width, int height, int channels);

/* What follows a convolution: y = x * scale + shift for each channel, then LeakyReLU, or added to the output. */
typedef enum { PLAIN, LEAKY, ADDED } After;

/* matmul.c */
void pack(const float *weights, int depth, int columns, int depth_step, int column_step, float *packed);
void matmul(const float *a, int stride, int rows, int depth, const float *packed, int columns, float *out);

/* winograd.c */
uint32_t winograd_floats(int in, int out);
void winograd_weights(const float *weights, int in, int out, float *transformed);
int winograd_scratch(int channels);
void winograd(const Map *in, const Map *out, const float *transformed, const float *scale, const float *shift,
              After after);

/* network.c */
int *network_shape(int expert);
int network_new(int experts);
float *network_weights(void);
uint32_t network_weight_count(void);
void network_prepare(void);
int network_resize(int width, int height);
void network_condition(int expert, const float *condition);
const Map *network_run(int expert, const uint8_t *luma);

/* condition.c */
void band_statistics(const uint8_t *luma, int width, int height, float *out);
const float *condition_of(const uint8_t *luma, int width, int height, int still);
int route_of(const float *seen, int still);
void condition_reset(void);
float *route_weights(int numbers, int experts, int full_size, int reads, int leaves);
void route_use(int numbers);
int route_experts(void);
int route_enlarged(int expert);

#endif
