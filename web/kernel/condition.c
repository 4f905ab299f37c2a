/* What a frame's spectrum says of its damage, over time, and which expert follows from it: the same as
 * keenframe.condition, .conditioning and .routing. */
#include "keen.h"

enum { EDGE = 8, BANDS = 64, BLOCKS_LOOKED_AT = 4096, INTERVAL = 4 };
static const float FLOOR = 0.5f, WEIGHT = 0.7f, CUT = 0.5f, MARGIN = 0.25f;

static float basis[BANDS];
static float value[CONDITION];
static int known, age, seen_width, seen_height;
enum { UNITS_MAX = 32 };
/* The last layer has an output for each expert but the first. Of one layer: weights, biases; of two, those of the units
 * between them come before. */
static float route[UNITS_MAX * (CONDITION + EXPERTS_MAX) + EXPERTS_MAX - 1];
static int experts = 1, units, routed, chosen = -1, told = -1;

/* cos(pi k / 16) */
static const double COSINES[9] = {1,
                                  0.98078528040323044,
                                  0.92387953251128676,
                                  0.83146961230254524,
                                  0.70710678118654752,
                                  0.55557023301960222,
                                  0.38268343236508977,
                                  0.19509032201612827,
                                  0};

static double cosine(int sixteenths) {
  int k = sixteenths % 32;
  if (k > 16) k = 32 - k;
  return k <= 8 ? COSINES[k] : -COSINES[16 - k];
}

static void make_basis(void) {
  for (int k = 0; k < EDGE; k++)
    for (int n = 0; n < EDGE; n++) basis[k * EDGE + n] = (float)((k ? 0.5 : 0.5 * COSINES[4]) * cosine((2 * n + 1) * k));
}

/* Natural logarithm of a positive, finite number, to 1e-10: by 2 artanh((m - 1) / (m + 1)) of its mantissa. */
static double logarithm(double x) {
  union {
    double number;
    uint64_t bits;
  } u = {x};
  int exponent = (int)(u.bits >> 52) - 1023;
  u.bits = (u.bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
  if (u.number > 1.4142135623730951) u.number /= 2, exponent++;
  double s = (u.number - 1) / (u.number + 1), square = s * s, power = s, sum = 0;
  for (int n = 1; n < 17; n += 2, power *= square) sum += power / n;
  return 2 * sum + exponent * 0.69314718055994531;
}

static void transform(const uint8_t *pixels, int width, float *out) {
  float half[BANDS];
  for (int y = 0; y < EDGE; y++)
    for (int k = 0; k < EDGE; k++) {
      float sum = 0;
      for (int x = 0; x < EDGE; x++) sum += basis[k * EDGE + x] * pixels[y * width + x];
      half[y * EDGE + k] = sum;
    }
  for (int k = 0; k < EDGE; k++)
    for (int x = 0; x < EDGE; x++) {
      float sum = 0;
      for (int y = 0; y < EDGE; y++) sum += basis[k * EDGE + y] * half[y * EDGE + x];
      out[k * EDGE + x] = sum;
    }
}

/* 64 log mean magnitudes and 64 log RMS values of the 8x8 DCT's bands, over at most 4096 blocks of a plane of at
 * least 8x8. */
void band_statistics(const uint8_t *luma, int width, int height, float *out) {
  if (!basis[0]) make_basis();
  int rows = height / EDGE, columns = width / EDGE, step = 1;
  while (step * step * BLOCKS_LOOKED_AT < rows * columns) step++;
  uint64_t total = 0;
  int blocks = 0;
  for (int row = 0; row < rows; row += step)
    for (int column = 0; column < columns; column += step, blocks++)
      for (int y = 0; y < EDGE; y++)
        for (int x = 0; x < EDGE; x++) total += luma[(row * EDGE + y) * width + column * EDGE + x];
  /* The first band is the block's mean times 8; its deviation from the frame's mean is what counts. */
  float mean = (float)((double)total / (blocks * BANDS) * EDGE);
  double magnitude[BANDS] = {0}, power[BANDS] = {0};
  for (int row = 0; row < rows; row += step)
    for (int column = 0; column < columns; column += step) {
      float bands[BANDS];
      transform(luma + row * EDGE * width + column * EDGE, width, bands);
      bands[0] -= mean;
      for (int i = 0; i < BANDS; i++) {
        magnitude[i] += __builtin_fabsf(bands[i]);
        power[i] += (double)bands[i] * bands[i];
      }
    }
  for (int i = 0; i < BANDS; i++) {
    out[i] = (float)logarithm(magnitude[i] / blocks + FLOOR);
    out[BANDS + i] = (float)logarithm(__builtin_sqrt(power[i] / blocks) + FLOOR);
  }
}

/* The smoothed condition after the stream's next frame, or a still's own. */
const float *condition_of(const uint8_t *luma, int width, int height, int still) {
  static float looked[CONDITION];
  if (still) {
    band_statistics(luma, width, height, looked);
    return looked;
  }
  if (!known || width != seen_width || height != seen_height) {
    band_statistics(luma, width, height, value);
    known = 1, age = 0, seen_width = width, seen_height = height;
  } else if (age % INTERVAL == 0) {
    band_statistics(luma, width, height, looked);
    float distance = 0;
    for (int i = 0; i < CONDITION; i++) distance += __builtin_fabsf(looked[i] - value[i]);
    float weight = distance / CONDITION > CUT ? 1 : WEIGHT;
    for (int i = 0; i < CONDITION; i++) value[i] += weight * (looked[i] - value[i]);
  }
  age++;
  return value;
}

/* Room for so many numbers of a rule between so many experts; 0 where none has so many. */
float *route_weights(int numbers, int count) {
  if (count < 2 || count > EXPERTS_MAX) return 0;
  experts = count;
  units = numbers == (CONDITION + 1) * (count - 1) ? 0 : (numbers - count + 1) / (CONDITION + count);
  if (!units) return numbers == (CONDITION + 1) * (count - 1) ? route : 0;
  return units >= 1 && units <= UNITS_MAX && numbers == units * (CONDITION + count) + count - 1 ? route : 0;
}

void route_use(int numbers) { routed = numbers; }
int route_experts(void) { return routed ? experts : 1; }

/* How much the rule prefers each expert to the first. */
static void route_scores(const float *condition, float *scores) {
  float between[UNITS_MAX];
  const float *biases = route + units * CONDITION, *last = units ? biases + units : route;
  for (int u = 0; u < units; u++) {
    float value = biases[u] + dot(route + u * CONDITION, condition, CONDITION);
    between[u] = value > 0 ? value : SLOPE * value;
  }
  const float *x = units ? between : condition;
  int width = units ? units : CONDITION, outputs = experts - 1;
  scores[0] = 0;
  for (int e = 0; e < outputs; e++) scores[e + 1] = last[outputs * width + e] + dot(last + e * width, x, width);
}

/* What is known of the frames to come: 1 when they were enlarged, 0 when they were not, -1 asks the rule. */
EXPORT(tell) void tell(int enlarged) { told = enlarged; }

/* The expert for a condition, from 0. The last is the one for frames that were not enlarged. */
int route_of(const float *condition, int still) {
  if (!routed) return 0;
  if (!told) return experts - 1;
  float scores[EXPERTS_MAX];
  route_scores(condition, scores);
  int best = 0, count = told > 0 ? experts - 1 : experts;
  for (int e = 1; e < count; e++)
    if (scores[e] > scores[best]) best = e;
  if (still) return best;
  if (chosen < 0 || chosen >= count || scores[best] - scores[chosen] > MARGIN) chosen = best;
  return chosen;
}

void condition_reset(void) { known = 0, chosen = -1; }
