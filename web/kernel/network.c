/* The network: from luma to what is to be added to it. The layers are those of `keenframe_train.export.deploy`. */
#include "keen.h"

typedef struct {
  const float *scale_weight, *scale_bias, *shift_weight, *shift_bias;
  float *scale, *shift; /* for the condition at hand, the convolution's bias folded in */
  const float *bias;    /* of the convolution before it */
  int channels;
} Film;

/* What JavaScript tells of an expert before `network_new`; all numbers are ints, in this order. */
typedef struct {
  int head;
  int trunk;  /* 0: no trunk of its own, the blocks run on the head's map */
  int stride; /* edge of the head's positions that become one of the trunk: 1 or 2 */
  int blocks, embedding;
  int inner[BLOCKS_MAX]; /* channels inside each block; 0: as many as it reads */
} Shape;

typedef struct {
  Shape shape;
  const float *embed_weight, *embed_bias;
  const float *bands_bias, *down_bias, *up_bias, *second_bias[BLOCKS_MAX];
  float *bands, *head, *down, *up, *tail, *tail_bias, *first[BLOCKS_MAX], *second[BLOCKS_MAX];
  Film films[BLOCKS_MAX + 1]; /* the head's, then the blocks' */
} Expert;

static Expert experts[EXPERTS_MAX];
static int expert_count;
static float *raw, *ones;
static uint32_t raw_count;

/* Maps of one frame size: bands and skip at a quarter of the picture, the trunk and its blocks there too or at an
 * eighth. Experts of the same shape share theirs: one of them runs at a time. */
typedef struct {
  Map skip, trunk, inner[BLOCKS_MAX];
} Maps;
static Map bands;
static Maps maps[EXPERTS_MAX];
static float *line, *line_out;
static int planned_width;

/* The next weights of the file, which stay where they are. */
static const float *next(const float **from, uint32_t count) {
  const float *start = *from;
  *from += count;
  return start;
}

/* Positions of the head that become one of the trunk. */
static int positions(const Shape *shape) { return shape->stride * shape->stride; }

/* Channels that a block reads and writes. */
static int width_of(const Shape *shape) { return shape->trunk ? shape->trunk : shape->head; }

static int widest(const Shape *shape) {
  int most = positions(shape) * shape->head;
  if (most < shape->trunk) most = shape->trunk;
  for (int b = 0; b < shape->blocks; b++)
    if (most < shape->inner[b]) most = shape->inner[b];
  return most < PIXELS ? PIXELS : most;
}

static uint32_t film_count(const Shape *shape, int channels) { return 2 * (channels * shape->embedding + channels); }

static uint32_t weight_count(const Shape *shape) {
  uint32_t head = shape->head, wide = width_of(shape), blocks = 0;
  uint32_t steps = shape->trunk ? 2 * wide * head * positions(shape) + wide + head : 0;
  for (int b = 0; b < shape->blocks; b++) {
    uint32_t inside = shape->inner[b];
    blocks += 2 * wide * inside * 9 + inside + wide + film_count(shape, inside);
  }
  return PIXELS * PIXELS + PIXELS + shape->embedding * CONDITION + shape->embedding + head * PIXELS * 9 + head +
         film_count(shape, head) + steps + blocks + PIXELS * head * 9 + PIXELS + PIXELS * PIXELS;
}

static int channels_fit(int channels, int most) { return channels >= 8 && channels % 8 == 0 && channels <= most; }

/* Fills in what was left to the trunk; 0 for a shape that cannot be run. */
static int shape_fits(Shape *shape) {
  if (!channels_fit(shape->head, CHANNELS_MAX / 4) || !channels_fit(width_of(shape), CHANNELS_MAX) ||
      shape->stride < 1 || shape->stride > (shape->trunk ? 2 : 1) || shape->blocks < 1 || shape->blocks > BLOCKS_MAX ||
      shape->embedding < 1 || shape->embedding > 256)
    return 0;
  for (int b = 0; b < shape->blocks; b++) {
    if (!shape->inner[b]) shape->inner[b] = width_of(shape);
    if (!channels_fit(shape->inner[b], CHANNELS_MAX)) return 0;
  }
  return 1;
}

/* Where the shape of an expert, from 0, is told before `network_new`. */
int *network_shape(int expert) { return &experts[expert].shape.head; }

/* Room for a network of one or several experts; 0 where it is of a shape that cannot be run, or memory is short. */
int network_new(int count) {
  if (count < 1 || count > EXPERTS_MAX) return 0;
  int most = PIXELS;
  raw_count = 0;
  for (int e = 0; e < count; e++) {
    Shape *shape = &experts[e].shape;
    if (!shape_fits(shape)) return 0;
    if (most < widest(shape)) most = widest(shape);
    raw_count += weight_count(shape);
  }
  expert_count = count;
  ones = take(most * sizeof(float));
  if (!ones || !winograd_scratch(most)) return 0;
  for (int i = 0; i < most; i++) ones[i] = 1;
  for (int e = 0; e < count; e++) {
    Expert *x = experts + e;
    const Shape *shape = &x->shape;
    x->bands = take(PIXELS * PIXELS * sizeof(float));
    x->head = take(winograd_floats(PIXELS, shape->head) * sizeof(float));
    if (shape->trunk) {
      x->down = take(positions(shape) * shape->head * shape->trunk * sizeof(float));
      x->up = take(positions(shape) * shape->head * shape->trunk * sizeof(float));
    }
    for (int b = 0; b < shape->blocks; b++) {
      x->first[b] = take(winograd_floats(width_of(shape), shape->inner[b]) * sizeof(float));
      x->second[b] = take(winograd_floats(shape->inner[b], width_of(shape)) * sizeof(float));
    }
    x->tail = take(winograd_floats(shape->head, PIXELS) * sizeof(float));
    x->tail_bias = take(PIXELS * sizeof(float));
    for (int f = 0; f <= shape->blocks; f++) {
      int channels = f ? shape->inner[f - 1] : shape->head;
      x->films[f].channels = channels;
      x->films[f].scale = take(channels * sizeof(float));
      x->films[f].shift = take(channels * sizeof(float));
    }
  }
  return !exhausted();
}

uint32_t network_weight_count(void) { return raw_count; }

/* Where the weights go before `network_prepare`, `network_weight_count` floats in the file's order. */
float *network_weights(void) {
  return raw = take(raw_count * sizeof(float));
}

static void read_film(Film *film, int embedding, const float **from, const float *bias) {
  int channels = film->channels;
  film->bias = bias;
  film->scale_weight = next(from, channels * embedding);
  film->scale_bias = next(from, channels);
  film->shift_weight = next(from, channels * embedding);
  film->shift_bias = next(from, channels);
}

/* The tail's outputs are bands; the inverse DCT is folded into its weights. */
static void fold_tail(Expert *x, const float *weight, const float *bias, const float *idct) {
  int head = x->shape.head, inputs = head * 9;
  uint32_t before = mark();
  float *folded = take(PIXELS * inputs * sizeof(float));
  if (!folded) return;
  for (int p = 0; p < PIXELS; p++) {
    double offset = 0;
    for (int i = 0; i < inputs; i++) {
      double sum = 0;
      for (int k = 0; k < PIXELS; k++) sum += (double)idct[p * PIXELS + k] * weight[k * inputs + i];
      folded[p * inputs + i] = (float)sum;
    }
    for (int k = 0; k < PIXELS; k++) offset += (double)idct[p * PIXELS + k] * bias[k];
    x->tail_bias[p] = (float)offset;
  }
  winograd_weights(folded, head, PIXELS, x->tail);
  release(before);
}

/* Turn the weights into the form that they are used in. */
void network_prepare(void) {
  const float *at = raw;
  for (int e = 0; e < expert_count; e++) {
    Expert *x = experts + e;
    int head = x->shape.head, wide = width_of(&x->shape), embedding = x->shape.embedding, all = positions(&x->shape);
    pack(at, PIXELS, PIXELS, 1, PIXELS, x->bands), at += PIXELS * PIXELS;
    x->bands_bias = next(&at, PIXELS);
    x->embed_weight = next(&at, embedding * CONDITION);
    x->embed_bias = next(&at, embedding);
    winograd_weights(at, PIXELS, head, x->head), at += head * PIXELS * 9;
    read_film(x->films, embedding, &at, next(&at, head));
    if (x->shape.trunk) {
      /* (trunk, head, y, x): the positions one after another, the head's channels within each. */
      for (int q = 0; q < all; q++)
        for (int panel = 0; panel < wide; panel += 8)
          for (int c = 0; c < head; c++)
            for (int o = 0; o < 8; o++)
              x->down[(panel * all * head) + (q * head + c) * 8 + o] = at[((panel + o) * head + c) * all + q];
      at += wide * head * all;
      x->down_bias = next(&at, wide);
    }
    for (int b = 0; b < x->shape.blocks; b++) {
      int inside = x->shape.inner[b];
      winograd_weights(at, wide, inside, x->first[b]), at += wide * inside * 9;
      read_film(x->films + 1 + b, embedding, &at, next(&at, inside));
      winograd_weights(at, inside, wide, x->second[b]), at += wide * inside * 9;
      x->second_bias[b] = next(&at, wide);
    }
    if (x->shape.trunk) {
      /* (trunk, head, y, x): column q * head + c of the product is channel c of the block's position q. */
      for (int column = 0; column < all * head; column++)
        for (int c = 0; c < wide; c++)
          x->up[(column & ~7) * wide + c * 8 + (column & 7)] = at[(c * head + column % head) * all + column / head];
      at += wide * head * all;
      x->up_bias = next(&at, head);
    }
    fold_tail(x, at, at + PIXELS * head * 9, at + PIXELS * head * 9 + PIXELS);
    at += PIXELS * head * 9 + PIXELS + PIXELS * PIXELS;
  }
}

/* One of the maps planned in this role already, where its channels and size are the same, or a new one. */
static int plan(Map *pool, int *known, int width, int height, int channels, Map *out) {
  int i = 0;
  while (i < *known && (pool[i].channels != channels || pool[i].width != width)) i++;
  if (i == *known && !map_new(&pool[(*known)++], width, height, channels)) return 0;
  *out = pool[i];
  return 1;
}

/* Plan for pictures of this size, in multiples of 8, after memory was released; 0 when it is short. Without a network
 * there is nothing to plan. */
int network_resize(int width, int height) {
  int across = width / BLOCK, down = height / BLOCK, most = PIXELS, skips = 0, trunks = 0, inners = 0;
  Map skip[EXPERTS_MAX], trunk[EXPERTS_MAX], inner[EXPERTS_MAX * BLOCKS_MAX];
  if (!expert_count) return 1;
  int fine = map_new(&bands, across, down, PIXELS);
  for (int e = 0; e < expert_count && fine; e++) {
    const Shape *shape = &experts[e].shape;
    int columns = across / shape->stride, rows = down / shape->stride;
    if (most < widest(shape)) most = widest(shape);
    fine = plan(skip, &skips, across, down, shape->head, &maps[e].skip);
    if (!shape->trunk)
      maps[e].trunk = maps[e].skip;
    else
      fine = fine && plan(trunk, &trunks, columns, rows, shape->trunk, &maps[e].trunk);
    for (int b = 0; b < shape->blocks && fine; b++)
      fine = plan(inner, &inners, columns, rows, shape->inner[b], &maps[e].inner[b]);
  }
  line = take((across + TILE) * most * sizeof(float));
  line_out = take((across + TILE) * most * sizeof(float));
  if (!fine || !line || !line_out) return 0;
  planned_width = width;
  return 1;
}

/* Set the channels' scales and shifts for a condition of 128 numbers. */
void network_condition(int expert, const float *condition) {
  Expert *x = experts + expert;
  int size = x->shape.embedding;
  float embedding[256];
  for (int i = 0; i < size; i++) {
    float value = dot(x->embed_weight + i * CONDITION, condition, CONDITION) + x->embed_bias[i];
    embedding[i] = value > 0 ? value : SLOPE * value;
  }
  for (int f = 0; f <= x->shape.blocks; f++) {
    Film *film = x->films + f;
    for (int c = 0; c < film->channels; c++) {
      film->scale[c] = dot(film->scale_weight + c * size, embedding, size) + film->scale_bias[c];
      film->shift[c] = dot(film->shift_weight + c * size, embedding, size) + film->shift_bias[c] +
                       film->bias[c] * film->scale[c];
    }
  }
}

static int fours(int rows) { return (rows + 3) & ~3; }

/* Luma to normalised DCT bands of its 4x4 blocks. */
static void to_bands(const Expert *x, const uint8_t *luma, int width) {
  for (int row = 0; row < bands.height; row++) {
    const uint8_t *pixels = luma + row * BLOCK * width;
    for (int b = 0; b < bands.width; b++)
      for (int y = 0; y < BLOCK; y++) {
        v128_t bytes = wasm_v128_load32_zero(pixels + y * width + b * BLOCK);
        v128_t words = wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(bytes));
        wasm_v128_store(line + b * PIXELS + y * BLOCK, wasm_f32x4_convert_i32x4(words));
      }
    matmul(line, PIXELS, fours(bands.width), PIXELS, x->bands, PIXELS, line_out);
    float *out = bands.origin + row * bands.stride;
    for (int i = 0; i < bands.width * PIXELS; i += 4)
      wasm_v128_store(out + i, wasm_f32x4_add(wasm_v128_load(line_out + i), wasm_v128_load(x->bands_bias + i % PIXELS)));
  }
}

static v128_t leaky(v128_t x) { return wasm_f32x4_pmax(x, wasm_f32x4_mul(x, wasm_f32x4_const_splat(SLOPE))); }

/* Positions of the head, one or 2x2, become one of the trunk. */
static void to_trunk(const Expert *x, const Map *skip, const Map *trunk) {
  int stride = x->shape.stride, side = stride * skip->channels, depth = stride * side;
  for (int row = 0; row < trunk->height; row++) {
    const float *from = skip->origin + row * stride * skip->stride, *gathered = stride == 1 ? from : line;
    for (int i = 0; i < trunk->width && gathered == line; i++)
      for (int y = 0; y < stride; y++)
        __builtin_memcpy(line + i * depth + y * side, from + y * skip->stride + i * side, side * sizeof(float));
    matmul(gathered, depth, fours(trunk->width), depth, x->down, trunk->channels, line_out);
    float *out = trunk->origin + row * trunk->stride;
    for (int i = 0; i < trunk->width; i++)
      for (int c = 0; c < trunk->channels; c += 4, out += 4) {
        v128_t value = wasm_v128_load(line_out + i * trunk->channels + c);
        wasm_v128_store(out, leaky(wasm_f32x4_add(value, wasm_v128_load(x->down_bias + c))));
      }
  }
}

/* The trunk, enlarged where it is smaller, onto the head's map. */
static void from_trunk(const Expert *x, const Map *trunk, const Map *skip) {
  int head = skip->channels, stride = x->shape.stride, all = positions(&x->shape);
  for (int row = 0; row < trunk->height; row++) {
    matmul(trunk->origin + row * trunk->stride, trunk->channels, fours(trunk->width), trunk->channels, x->up,
           all * head, line_out);
    for (int y = 0; y < stride; y++) {
      float *out = skip->origin + (stride * row + y) * skip->stride;
      for (int i = 0; i < skip->width; i++)
        for (int c = 0; c < head; c += 4, out += 4) {
          v128_t value = wasm_v128_load(line_out + (i / stride * all + stride * y + i % stride) * head + c);
          value = wasm_f32x4_add(value, wasm_v128_load(x->up_bias + c));
          wasm_v128_store(out, leaky(wasm_f32x4_add(wasm_v128_load(out), value)));
        }
    }
  }
}

/* What strength 1 adds to a luma plane of the planned size, in code values: a position's channels are the 4x4 pixels
 * of its block, row by row. Valid until the next run. */
const Map *network_run(int expert, const uint8_t *luma) {
  const Expert *x = experts + expert;
  const Map *skip = &maps[expert].skip, *trunk = &maps[expert].trunk;
  to_bands(x, luma, planned_width);
  winograd(&bands, skip, x->head, x->films[0].scale, x->films[0].shift, LEAKY);
  if (x->shape.trunk) to_trunk(x, skip, trunk);
  for (int b = 0; b < x->shape.blocks; b++) {
    const Map *inside = &maps[expert].inner[b];
    winograd(trunk, inside, x->first[b], x->films[1 + b].scale, x->films[1 + b].shift, LEAKY);
    winograd(inside, trunk, x->second[b], ones, x->second_bias[b], ADDED);
  }
  if (x->shape.trunk) from_trunk(x, trunk, skip);
  winograd(skip, &bands, x->tail, ones, x->tail_bias, PLAIN);
  return &bands;
}
