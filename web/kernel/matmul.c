/* Matrix product, where nearly all of the time goes: blocks of 4 rows and 8 columns stay in registers. */
#include "keen.h"

enum { WIDE = 8 };

/* weights[d * depth_step + c * column_step] as panels of eight columns, each (depth, 8). */
void pack(const float *weights, int depth, int columns, int depth_step, int column_step, float *packed) {
  for (int panel = 0; panel < columns; panel += WIDE)
    for (int d = 0; d < depth; d++)
      for (int c = 0; c < WIDE; c++) *packed++ = weights[d * depth_step + (panel + c) * column_step];
}

#ifdef __wasm_relaxed_simd__
#define MULTIPLY_ADD(a, b, sum) __builtin_wasm_relaxed_madd_f32x4(a, b, sum)
#else
#define MULTIPLY_ADD(a, b, sum) wasm_f32x4_add(sum, wasm_f32x4_mul(a, b))
#endif

#define ROW(r)                                        \
  v128_t x##r = wasm_v128_load32_splat(a##r++);       \
  left##r = MULTIPLY_ADD(x##r, w0, left##r);          \
  right##r = MULTIPLY_ADD(x##r, w1, right##r);

#define STORE(r)                                     \
  wasm_v128_store(out + (r) * columns, left##r);     \
  wasm_v128_store(out + (r) * columns + 4, right##r);

/* out (rows, columns) = a (rows, depth), whose rows are `stride` floats apart, times packed weights.
 * rows is a multiple of 4, columns one of 8. */
void matmul(const float *a, int stride, int rows, int depth, const float *packed, int columns, float *result) {
  int next = 4 * stride - depth;
  for (int panel = 0; panel < columns; panel += WIDE, packed += depth * WIDE) {
    const float *a0 = a, *a1 = a0 + stride, *a2 = a1 + stride, *a3 = a2 + stride;
    float *out = result + panel;
    for (int row = 0; row < rows; row += 4) {
      v128_t left0 = wasm_f32x4_const_splat(0), left1 = left0, left2 = left0, left3 = left0;
      v128_t right0 = left0, right1 = left0, right2 = left0, right3 = left0;
      const float *w = packed;
      /* Unrolling this, or more rows or columns, makes V8 spill registers: half the speed. */
      for (int d = 0; d < depth; d++, w += WIDE) {
        v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 4);
        ROW(0) ROW(1) ROW(2) ROW(3)
      }
      STORE(0) STORE(1) STORE(2) STORE(3)
      out += 4 * columns;
      a0 += next, a1 += next, a2 += next, a3 += next;
    }
  }
}
