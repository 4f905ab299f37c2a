/* The network: from luma to what is to be added to it. The layers are those of `keenframe_train.export.deploy`. */
#include "keen.h"

typedef struct {
  const float *scale_weight, *scale_bias, *shift_weight, *shift_bias;
  float *scale, *shift; /* for the condition at hand, the convolution's bias folded in */
  const float *bias;    /* of the convolution before it */
  int channels;
} Film;

typedef struct {
  const float *embed_weight, *embed_bias;
  const float *bands_bias, *down_bias, *up_bias, *second_bias[BLOCKS_MAX];
  float *bands, *head, *down, *up, *tail, *tail_bias, *first[BLOCKS_MAX], *second[BLOCKS_MAX];
  Film films[BLOCKS_MAX + 1]; /* the head's, then the blocks' */
} Expert;

static struct {
  int head, trunk, blocks, embedding, experts;
  int stride;            /* edge of the head's positions that become one of the trunk: 1 or 2 */
  int inner[2][BLOCKS_MAX]; /* channels inside each block of each expert; 0: as many as the trunk has */
} net;
static Expert experts[2];
static float *raw, *ones;
static uint32_t raw_count;

/* Maps of one frame size: the head's at a quarter of the picture, the trunk's there too or at an eighth. */
static Map bands, skip, trunk, inner[2][BLOCKS_MAX];
static float *line, *line_out;
static int planned_width;

/* The next weights of the file, which stay where they are. */
static const float *next(const float **from, uint32_t count) {
  const float *start = *from;
  *from += count;
  return start;
}

static int positions(void) { return net.stride * net.stride; }

static uint32_t film_count(int channels) { return 2 * (channels * net.embedding + channels); }

static uint32_t expert_count(int expert) {
  uint32_t head = net.head, trunk = net.trunk, blocks = 0;
  for (int b = 0; b < net.blocks; b++) {
    uint32_t inside = net.inner[expert][b];
    blocks += 2 * trunk * inside * 9 + inside + trunk + film_count(inside);
  }
  return PIXELS * PIXELS + PIXELS + net.embedding * CONDITION + net.embedding + head * PIXELS * 9 + head +
         film_count(head) + 2 * trunk * head * positions() + trunk + blocks + head +
         PIXELS * head * 9 + PIXELS + PIXELS * PIXELS;
}

/* Where the channels inside the blocks are told, before `network_new`: BLOCKS_MAX numbers for each expert. */
int *network_inner(void) { return net.inner[0]; }

/* Room for a network; 0 where it is of a shape that cannot be run, or memory is short. */
int network_new(int head, int trunk_channels, int stride, int blocks, int embedding, int count) {
  if (head < 8 || head % 8 || trunk_channels < 8 || trunk_channels % 8 || head > CHANNELS_MAX / 4 ||
      trunk_channels > CHANNELS_MAX || blocks < 1 || blocks > BLOCKS_MAX || embedding < 1 || embedding > 256 ||
      count < 1 || count > 2 || stride < 1 || stride > 2)
    return 0;
  net.head = head, net.trunk = trunk_channels, net.blocks = blocks, net.embedding = embedding, net.experts = count;
  net.stride = stride;
  int widest = trunk_channels > positions() * head ? trunk_channels : positions() * head;
  raw_count = 0;
  for (int e = 0; e < count; e++) {
    for (int b = 0; b < blocks; b++) {
      int *inside = &net.inner[e][b];
      if (!*inside) *inside = trunk_channels;
      if (*inside < 8 || *inside % 8 || *inside > CHANNELS_MAX) return 0;
      if (*inside > widest) widest = *inside;
    }
    raw_count += expert_count(e);
  }
  ones = take(widest * sizeof(float));
  if (!ones || !winograd_scratch(widest > PIXELS ? widest : PIXELS)) return 0;
  for (int i = 0; i < widest; i++) ones[i] = 1;
  for (int e = 0; e < count; e++) {
    Expert *x = experts + e;
    x->bands = take(PIXELS * PIXELS * sizeof(float));
    x->head = take(winograd_floats(PIXELS, head) * sizeof(float));
    x->down = take(positions() * head * trunk_channels * sizeof(float));
    for (int b = 0; b < blocks; b++) {
      x->first[b] = take(winograd_floats(trunk_channels, net.inner[e][b]) * sizeof(float));
      x->second[b] = take(winograd_floats(net.inner[e][b], trunk_channels) * sizeof(float));
    }
    x->up = take(positions() * head * trunk_channels * sizeof(float));
    x->tail = take(winograd_floats(head, PIXELS) * sizeof(float));
    x->tail_bias = take(PIXELS * sizeof(float));
    for (int f = 0; f <= blocks; f++) {
      int channels = f ? net.inner[e][f - 1] : head;
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

static void read_film(Film *film, const float **from, const float *bias) {
  int channels = film->channels;
  film->bias = bias;
  film->scale_weight = next(from, channels * net.embedding);
  film->scale_bias = next(from, channels);
  film->shift_weight = next(from, channels * net.embedding);
  film->shift_bias = next(from, channels);
}

/* The tail's outputs are bands; the inverse DCT is folded into its weights. */
static void fold_tail(Expert *x, const float *weight, const float *bias, const float *idct) {
  int inputs = net.head * 9;
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
  winograd_weights(folded, net.head, PIXELS, x->tail);
  release(before);
}

/* Turn the weights into the form that they are used in. */
void network_prepare(void) {
  const float *at = raw;
  int head = net.head, wide = net.trunk, all = positions();
  for (int e = 0; e < net.experts; e++) {
    Expert *x = experts + e;
    pack(at, PIXELS, PIXELS, 1, PIXELS, x->bands), at += PIXELS * PIXELS;
    x->bands_bias = next(&at, PIXELS);
    x->embed_weight = next(&at, net.embedding * CONDITION);
    x->embed_bias = next(&at, net.embedding);
    winograd_weights(at, PIXELS, head, x->head), at += head * PIXELS * 9;
    read_film(x->films, &at, next(&at, head));
    /* (trunk, head, y, x): the positions one after another, the head's channels within each. */
    for (int q = 0; q < all; q++)
      for (int panel = 0; panel < wide; panel += 8)
        for (int c = 0; c < head; c++)
          for (int o = 0; o < 8; o++)
            x->down[(panel * all * head) + (q * head + c) * 8 + o] = at[((panel + o) * head + c) * all + q];
    at += wide * head * all;
    x->down_bias = next(&at, wide);
    for (int b = 0; b < net.blocks; b++) {
      int inside = net.inner[e][b];
      winograd_weights(at, wide, inside, x->first[b]), at += wide * inside * 9;
      read_film(x->films + 1 + b, &at, next(&at, inside));
      winograd_weights(at, inside, wide, x->second[b]), at += wide * inside * 9;
      x->second_bias[b] = next(&at, wide);
    }
    /* (trunk, head, y, x): column q * head + c of the product is channel c of the block's position q. */
    for (int column = 0; column < all * head; column++)
      for (int c = 0; c < wide; c++)
        x->up[(column & ~7) * wide + c * 8 + (column & 7)] = at[(c * head + column % head) * all + column / head];
    at += wide * head * all;
    x->up_bias = next(&at, head);
    fold_tail(x, at, at + PIXELS * head * 9, at + PIXELS * head * 9 + PIXELS);
    at += PIXELS * head * 9 + PIXELS + PIXELS * PIXELS;
  }
}

/* The maps inside the blocks, one for each number of channels: blocks of the same width share theirs. */
static int plan_inner(int width, int height) {
  int known = 0;
  Map made[2 * BLOCKS_MAX];
  for (int e = 0; e < net.experts; e++)
    for (int b = 0; b < net.blocks; b++) {
      int i = 0;
      while (i < known && made[i].channels != net.inner[e][b]) i++;
      if (i == known && !map_new(&made[known++], width, height, net.inner[e][b])) return 0;
      inner[e][b] = made[i];
    }
  return 1;
}

/* Plan for pictures of this size, in multiples of 8, after memory was released; 0 when it is short. Without a network
 * there is nothing to plan. */
int network_resize(int width, int height) {
  if (!net.head) return 1;
  int across = width / BLOCK, down = height / BLOCK, columns = across / net.stride, rows = down / net.stride;
  int widest = net.trunk > positions() * net.head ? net.trunk : positions() * net.head;
  if (widest < PIXELS) widest = PIXELS;
  int fine = map_new(&bands, across, down, PIXELS) && map_new(&skip, across, down, net.head);
  fine = fine && map_new(&trunk, columns, rows, net.trunk) && plan_inner(columns, rows);
  line = take((across + TILE) * widest * sizeof(float));
  line_out = take((across + TILE) * widest * sizeof(float));
  if (!fine || !line || !line_out) return 0;
  planned_width = width;
  return 1;
}

static float dot(const float *a, const float *b, int count) {
  float sum = 0;
  for (int i = 0; i < count; i++) sum += a[i] * b[i];
  return sum;
}

/* Set the channels' scales and shifts for a condition of 128 numbers. */
void network_condition(int expert, const float *condition) {
  Expert *x = experts + expert;
  float embedding[256];
  for (int i = 0; i < net.embedding; i++) {
    float value = dot(x->embed_weight + i * CONDITION, condition, CONDITION) + x->embed_bias[i];
    embedding[i] = value > 0 ? value : SLOPE * value;
  }
  for (int f = 0; f <= net.blocks; f++) {
    Film *film = x->films + f;
    for (int c = 0; c < film->channels; c++) {
      film->scale[c] = dot(film->scale_weight + c * net.embedding, embedding, net.embedding) + film->scale_bias[c];
      film->shift[c] = dot(film->shift_weight + c * net.embedding, embedding, net.embedding) + film->shift_bias[c] +
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
static void to_trunk(const Expert *x) {
  int side = net.stride * net.head, depth = net.stride * side;
  for (int row = 0; row < trunk.height; row++) {
    const float *from = skip.origin + row * net.stride * skip.stride;
    for (int i = 0; i < trunk.width; i++)
      for (int y = 0; y < net.stride; y++)
        __builtin_memcpy(line + i * depth + y * side, from + y * skip.stride + i * side, side * sizeof(float));
    matmul(line, depth, fours(trunk.width), depth, x->down, net.trunk, line_out);
    float *out = trunk.origin + row * trunk.stride;
    for (int i = 0; i < trunk.width; i++)
      for (int c = 0; c < net.trunk; c += 4, out += 4) {
        v128_t value = wasm_v128_load(line_out + i * net.trunk + c);
        wasm_v128_store(out, leaky(wasm_f32x4_add(value, wasm_v128_load(x->down_bias + c))));
      }
  }
}

/* The trunk, enlarged, onto the head's map. */
static void from_trunk(const Expert *x) {
  int head = net.head, side = net.stride, all = positions();
  for (int row = 0; row < trunk.height; row++) {
    matmul(trunk.origin + row * trunk.stride, net.trunk, fours(trunk.width), net.trunk, x->up, all * head, line_out);
    for (int y = 0; y < side; y++) {
      float *out = skip.origin + (side * row + y) * skip.stride;
      for (int i = 0; i < skip.width; i++)
        for (int c = 0; c < head; c += 4, out += 4) {
          v128_t value = wasm_v128_load(line_out + (i / side * all + side * y + i % side) * head + c);
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
  to_bands(x, luma, planned_width);
  winograd(&bands, &skip, x->head, x->films[0].scale, x->films[0].shift, LEAKY);
  to_trunk(x);
  for (int b = 0; b < net.blocks; b++) {
    const Map *inside = &inner[expert][b];
    winograd(&trunk, inside, x->first[b], x->films[1 + b].scale, x->films[1 + b].shift, LEAKY);
    winograd(inside, &trunk, x->second[b], ones, x->second_bias[b], ADDED);
  }
  from_trunk(x);
  winograd(&skip, &bands, x->tail, ones, x->tail_bias, PLAIN);
  return &bands;
}
