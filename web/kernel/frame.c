/* One frame from luma to luma: padding, the network, strength, steadying; and what JavaScript calls. */
#include "keen.h"

/* keenframe.steady: share of the last result where nothing changes, and the mean change from which nothing is kept. */
typedef struct {
  float share, change;
} Memory;
static const Memory FULL_SIZE = {0.6f, 1.5f}, ENLARGED = {0.75f, 8.0f};

static int width, height, padded_width, padded_height;
static uint8_t *input, *output, *plane, *before, *result;
static float *changes, *keep;
static const float *condition;
static int remembered, drawn;
static float last_strength;
static uint32_t model_end;

EXPORT(model_shape) int *model_shape(int expert) { return network_shape(expert); }
EXPORT(model_new) int model_new(int experts) { return network_new(experts); }
EXPORT(model_weight_count) uint32_t model_weight_count(void) { return network_weight_count(); }
EXPORT(model_weights) float *model_weights(void) { return network_weights(); }
EXPORT(model_route) float *model_route(int numbers, int experts, int full_size, int reads, int leaves) {
  return route_weights(numbers, experts, full_size, reads, leaves);
}

/* After the weights, and the numbers of the route, as many as there are, were written. 0 when memory is short. */
EXPORT(model_ready) int model_ready(int route_numbers) {
  route_use(route_numbers);
  network_prepare();
  model_end = mark();
  return !exhausted();
}

EXPORT(reset) void reset(void) {
  condition_reset();
  remembered = 0;
}

/* Plan for frames of this size; 0 when memory is short. A size that was set already costs nothing. */
EXPORT(resize) int resize(int new_width, int new_height) {
  if (new_width == width && new_height == height) return 1;
  width = height = remembered = 0;
  release(model_end);
  padded_width = (new_width + 7) & ~7, padded_height = (new_height + 7) & ~7;
  uint32_t size = padded_width * padded_height, positions = size / PIXELS;
  input = take(new_width * new_height);
  output = take(new_width * new_height);
  plane = take(size), before = take(size), result = take(size);
  changes = take(positions * sizeof(float));
  keep = take(positions * sizeof(float));
  if (!network_resize(padded_width, padded_height) || exhausted()) return 0;
  width = new_width, height = new_height;
  return 1;
}

EXPORT(input_at) uint8_t *input_at(void) { return input; }
EXPORT(output_at) uint8_t *output_at(void) { return output; }

static void fill_plane(void) {
  for (int y = 0; y < padded_height; y++) {
    uint8_t *row = plane + y * padded_width;
    if (y >= height) {
      __builtin_memcpy(row, row - padded_width, padded_width);
      continue;
    }
    __builtin_memcpy(row, input + y * width, width);
    for (int x = width; x < padded_width; x++) row[x] = row[width - 1];
  }
}

/* How much of the last result to keep in each 4x4 block: the less, the more its input changed, by the mean absolute
 * difference over 12x12 pixels around it; every second row speaks for both. */
static void compare(Memory memory) {
  int columns = padded_width / BLOCK, rows = padded_height / BLOCK;
  for (int row = 0; row < rows; row++)
    for (int column = 0; column < columns; column++) {
      int sum = 0;
      for (int y = 0; y < BLOCK; y += 2)
        for (int x = 0; x < BLOCK; x++) {
          int at = (row * BLOCK + y) * padded_width + column * BLOCK + x;
          int difference = plane[at] - before[at];
          sum += difference < 0 ? -difference : difference;
        }
      changes[row * columns + column] = (float)sum;
    }
  for (int row = 0; row < rows; row++)
    for (int column = 0; column < columns; column++) {
      float sum = 0;
      for (int y = row - 1; y <= row + 1; y++)
        for (int x = column - 1; x <= column + 1; x++) {
          int inside_y = y < 0 ? 0 : y >= rows ? rows - 1 : y, inside_x = x < 0 ? 0 : x >= columns ? columns - 1 : x;
          sum += changes[inside_y * columns + inside_x];
        }
      float still = 1 - sum / 72 / memory.change;
      keep[row * columns + column] = memory.share * (still < 0 ? 0 : still > 1 ? 1 : still);
    }
}

static inline v128_t four(const uint8_t *bytes) {
  v128_t words = wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(bytes)));
  return wasm_f32x4_convert_i32x4(words);
}

/* result = luma + strength * correction, drawn towards the last result where `steady`, rounded to the even byte. */
static void finish(const Map *correction, float strength, int steady) {
  v128_t factor = wasm_f32x4_splat(strength);
  for (int row = 0; row < correction->height; row++)
    for (int column = 0; column < correction->width; column++) {
      const float *block = correction->origin + row * correction->stride + column * PIXELS;
      int at = row * BLOCK * padded_width + column * BLOCK;
      v128_t share = wasm_f32x4_splat(steady ? keep[row * correction->width + column] : 0);
      for (int y = 0; y < BLOCK; y++, at += padded_width, block += BLOCK) {
        v128_t sharp = wasm_f32x4_add(four(plane + at), wasm_f32x4_mul(wasm_v128_load(block), factor));
        if (steady)
          sharp = wasm_f32x4_add(sharp, wasm_f32x4_mul(share, wasm_f32x4_sub(four(result + at), sharp)));
        store_bytes(result + at, sharp);
      }
    }
}

/* Where what `look` found lies: 128 floats; the padded plane; its size; the share of the last result to keep in each
 * 4x4 block, all 0 where there is none to keep. */
EXPORT(condition_at) const float *condition_at(void) { return condition; }
EXPORT(plane_at) uint8_t *plane_at(void) { return plane; }
EXPORT(plane_width) int plane_width(void) { return padded_width; }
EXPORT(plane_height) int plane_height(void) { return padded_height; }
EXPORT(keep_at) float *keep_at(void) { return keep; }

/* Look at what lies at `input_at`, width x height. still: on its own; else as the next frame of a stream. Gives the
 * expert to use; as many as there are experts leaves the frame as it is. */
EXPORT(look) int look(float strength, int still, int steady) {
  condition = condition_of(input, width, height, still);
  fill_plane();
  int expert = route_of(condition, still);
  drawn = steady && !still && remembered && strength == last_strength && expert < route_experts();
  if (drawn)
    compare(route_enlarged(expert) ? ENLARGED : FULL_SIZE);
  else
    __builtin_memset(keep, 0, padded_width * padded_height / PIXELS * sizeof(float));
  remembered = 0;
  return expert;
}

/* The result of the frame last looked at is there: what comes next is compared with it. */
EXPORT(remember) void remember(float strength) {
  uint8_t *other = before;
  before = plane, plane = other;
  remembered = 1, last_strength = strength;
}

/* Sharpen what lies at `input_at` into `output_at`. Gives the expert that was used. */
EXPORT(run) int run(float strength, int still, int steady) {
  int expert = look(strength, still, steady);
  if (expert == route_experts()) {
    __builtin_memcpy(output, input, width * height);
    return expert;
  }
  network_condition(expert, condition);
  finish(network_run(expert, plane), strength, drawn);
  for (int y = 0; y < height; y++) __builtin_memcpy(output + y * width, result + y * padded_width, width);
  if (!still) remember(strength);
  return expert;
}
