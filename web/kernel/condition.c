/* What a frame's spectra say of its damage, over time, and which expert follows from it: the same as
 * keenframe.condition, .periodicity, .conditioning and .routing. */
#include "keen.h"

enum { EDGE = 8, BANDS = 64, BLOCKS_LOOKED_AT = 4096, INTERVAL = 4 };
enum { WINDOW = 64, HOP = 32, LINES_LOOKED_AT = 128, FREQUENCY_MIN = 2 };
static const double CHANGE_FLOOR = 0.05, AMPLITUDE_FLOOR = 0.01;
static const float FLOOR = 0.5f, WEIGHT = 0.7f, CUT = 0.5f, MARGIN = 0.25f;

static float basis[BANDS];
static double wave[WINDOW]; /* a turn of the cosine */
static float value[SEEN];
static int known, age, seen_width, seen_height;
enum { UNITS_MAX = 32 };
/* The last layer has an output for each expert but the first, and one for leaving the frame as it is where the rule may.
 * Of one layer: weights, biases; of two, those of the units between them come before. */
static float route[UNITS_MAX * (SEEN + 1 + EXPERTS_MAX) + EXPERTS_MAX];
static int experts = 1, full_size = 1, outputs, inputs = CONDITION, units, routed, chosen = -1, told = -1;

/* cos(pi k / 32) */
static const double COSINES[17] = {1,
                                   0.9951847266721969,
                                   0.9807852804032304,
                                   0.9569403357322088,
                                   0.9238795325112867,
                                   0.881921264348355,
                                   0.8314696123025452,
                                   0.773010453362737,
                                   0.7071067811865476,
                                   0.6343932841636455,
                                   0.5555702330196023,
                                   0.4713967368259978,
                                   0.38268343236508984,
                                   0.29028467725446233,
                                   0.19509032201612833,
                                   0.09801714032956077,
                                   0};

static double cosine(int thirtyseconds) {
  int k = thirtyseconds % 64;
  if (k > 32) k = 64 - k;
  return k <= 16 ? COSINES[k] : -COSINES[32 - k];
}

static void make_basis(void) {
  for (int k = 0; k < EDGE; k++)
    for (int n = 0; n < EDGE; n++)
      basis[k * EDGE + n] = (float)((k ? 0.5 : 0.5 * COSINES[8]) * cosine(2 * (2 * n + 1) * k));
  for (int n = 0; n < WINDOW; n++) wave[n] = cosine(n);
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

/* Adds the power of each frequency in the log of `change`, means over lines at `length` places; gives the windows. */
static int add_power(const double *change, int length, double *power) {
  static double logarithms[SIDE_MAX];
  int windows = 0;
  double sums[PERIODS] = {0};
  for (int i = 0; i < length; i++) logarithms[i] = logarithm(change[i] + CHANGE_FLOOR);
  for (int start = 0; start + WINDOW <= length; start += HOP, windows++) {
    double heights[WINDOW]; /* under Hann's window, over half of its sum */
    for (int n = 0; n < WINDOW; n++) heights[n] = (1 - wave[n]) / (WINDOW / 2) * logarithms[start + n];
    for (int k = 0; k < PERIODS; k++) {
      double even = 0, odd = 0;
      for (int n = 0, at = 0; n < WINDOW; n++, at += k + FREQUENCY_MIN) {
        even += heights[n] * wave[at % WINDOW];
        odd += heights[n] * wave[(at + 3 * WINDOW / 4) % WINDOW];
      }
      sums[k] += even * even + odd * odd;
    }
  }
  for (int k = 0; windows && k < PERIODS; k++) power[k] += sums[k] / windows;
  return windows;
}

/* keenframe.periodicity: log amplitudes of the log second differences along rows and columns, over their mean. */
static void periodicity(const uint8_t *luma, int width, int height, float *out) {
  static double change[SIDE_MAX];
  int step = (height + LINES_LOOKED_AT - 1) / LINES_LOOKED_AT, lines = (height + step - 1) / step, sides = 0;
  double power[PERIODS] = {0}, mean = 0;
  for (int x = 0; x < width - 2; x++) change[x] = 0;
  for (int y = 0; y < height; y += step)
    for (int x = 0; x < width - 2; x++) {
      const uint8_t *at = luma + y * width + x;
      change[x] += __builtin_abs(at[0] - 2 * at[1] + at[2]);
    }
  for (int x = 0; x < width - 2; x++) change[x] /= lines;
  sides += add_power(change, width - 2, power) > 0;
  step = (width + LINES_LOOKED_AT - 1) / LINES_LOOKED_AT, lines = (width + step - 1) / step;
  for (int y = 0; y < height - 2; y++) {
    int sum = 0;
    for (int x = 0; x < width; x += step) {
      const uint8_t *at = luma + y * width + x;
      sum += __builtin_abs(at[0] - 2 * at[width] + at[2 * width]);
    }
    change[y] = (double)sum / lines;
  }
  sides += add_power(change, height - 2, power) > 0;
  for (int k = 0; k < PERIODS; k++) {
    power[k] = sides ? __builtin_sqrt(power[k] / sides) : 0;
    mean += power[k] / PERIODS;
  }
  for (int k = 0; k < PERIODS; k++)
    out[k] = (float)logarithm((power[k] + AMPLITUDE_FLOOR) / (mean + AMPLITUDE_FLOOR));
}

/* The condition, and behind it the periodicity, where the rule reads that. */
static void look_at(const uint8_t *luma, int width, int height, float *out) {
  band_statistics(luma, width, height, out);
  if (inputs > CONDITION) periodicity(luma, width, height, out + CONDITION);
}

/* What is seen of a stream after its next frame, smoothed, or of a still: the condition first. */
const float *condition_of(const uint8_t *luma, int width, int height, int still) {
  static float looked[SEEN];
  if (still) {
    look_at(luma, width, height, looked);
    return looked;
  }
  if (!known || width != seen_width || height != seen_height) {
    look_at(luma, width, height, value);
    known = 1, age = 0, seen_width = width, seen_height = height;
  } else if (age % INTERVAL == 0) {
    look_at(luma, width, height, looked);
    float distance = 0;
    for (int i = 0; i < CONDITION; i++) distance += __builtin_fabsf(looked[i] - value[i]);
    float weight = distance / CONDITION > CUT ? 1 : WEIGHT;
    for (int i = 0; i < inputs; i++) value[i] += weight * (looked[i] - value[i]);
  }
  age++;
  return value;
}

/* Room for so many numbers of a rule between so many experts, of which the last `full` are for frames of full size, that
 * reads `reads` numbers and may leave a frame as it is; 0 where none is so. */
float *route_weights(int numbers, int count, int full, int reads, int leaves) {
  if (count < 2 || count > EXPERTS_MAX || full < 1 || full >= count) return 0;
  if (reads != CONDITION && reads != SEEN) return 0;
  experts = count, full_size = full, inputs = reads, outputs = count - 1 + (leaves != 0), units = 0;
  if (numbers == (reads + 1) * outputs) return route;
  units = (numbers - outputs) / (reads + 1 + outputs);
  return units >= 1 && units <= UNITS_MAX && numbers == units * (reads + 1 + outputs) + outputs ? route : 0;
}

void route_use(int numbers) { routed = numbers; }
int route_experts(void) { return routed ? experts : 1; }
int route_enlarged(int expert) { return routed && expert < experts - full_size; }

/* How much the rule prefers each choice to the first expert. */
static void route_scores(const float *seen, float *scores) {
  float between[UNITS_MAX];
  const float *biases = route + units * inputs, *last = units ? biases + units : route;
  for (int u = 0; u < units; u++) {
    float value = biases[u] + dot(route + u * inputs, seen, inputs);
    between[u] = value > 0 ? value : SLOPE * value;
  }
  const float *x = units ? between : seen;
  int width = units ? units : inputs;
  scores[0] = 0;
  for (int e = 0; e < outputs; e++) scores[e + 1] = last[outputs * width + e] + dot(last + e * width, x, width);
}

/* What is known of the frames to come: 1 when they were enlarged, 0 when they were not, -1 asks the rule. */
EXPORT(tell) void tell(int enlarged) { told = enlarged; }

/* The expert for what was seen, from 0; as many as there are stands for none, which leaves the frame as it is. The last
 * `full_size` and none are for frames that were not enlarged. */
int route_of(const float *seen, int still) {
  if (!routed) return 0;
  float scores[EXPERTS_MAX + 1];
  route_scores(seen, scores);
  int border = experts - full_size;
  int first = told ? 0 : border, end = told > 0 ? border : outputs + 1, best = first;
  for (int e = first; e < end; e++)
    if (scores[e] > scores[best]) best = e;
  if (still) return best;
  if (chosen < first || chosen >= end || scores[best] - scores[chosen] > MARGIN) chosen = best;
  return chosen;
}

void condition_reset(void) { known = 0, chosen = -1; }
