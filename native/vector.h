// What the kernel needs of a processor's vectors: LANES numbers of 32 bits each. The compiler's own vectors do most of it;
// here is what differs from one instruction set to the next.
//
// LANES: numbers in a vector. WIDE: vectors of positions that are computed at a time. AT_ONCE: outputs that are, so that
// their WIDE sums each, the inputs and a weight fit into the registers: 32 of them, or 16 with AVX2.
#pragma once
#include <stdint.h>

#if defined(__AVX512VNNI__)
#define LANES 16
#define WIDE 3
#define AT_ONCE 8
#elif defined(__AVX2__)
#define LANES 8
#ifdef __AVXVNNI__
#define WIDE 3
#else
#define WIDE 2
#endif
#define AT_ONCE 4
#elif defined(__ARM_FEATURE_DOTPROD)
#define LANES 4
#define WIDE 3
#define AT_ONCE 8
#else
#error "no instruction set here whose dot products the kernel knows"
#endif

#define BYTES (4 * LANES)
#define INLINE static inline __attribute__((always_inline))

typedef int32_t ints __attribute__((vector_size(BYTES)));
typedef uint32_t unsigneds __attribute__((vector_size(BYTES)));
typedef float floats __attribute__((vector_size(BYTES)));
typedef int32_t quad __attribute__((vector_size(16)));

// Which numbers of two vectors, in order: every second one, the two in turns (the first half, the second half), and what
// turns four by four within 128 bits.
#if LANES == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define EARLY 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define LATE 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define LOW 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define LOW_PAIRS 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_PAIRS 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#elif LANES == 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#define EARLY 0, 8, 1, 9, 2, 10, 3, 11
#define LATE 4, 12, 5, 13, 6, 14, 7, 15
#define LOW 0, 8, 1, 9, 4, 12, 5, 13
#define HIGH 2, 10, 3, 11, 6, 14, 7, 15
#define LOW_PAIRS 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_PAIRS 2, 3, 10, 11, 6, 7, 14, 15
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#define EARLY 0, 4, 1, 5
#define LATE 2, 6, 3, 7
#define LOW EARLY
#define HIGH LATE
#define LOW_PAIRS 0, 1, 4, 5
#define HIGH_PAIRS 2, 3, 6, 7
#endif
#define CHOOSE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

INLINE ints all(int32_t number) { return (ints){0} + number; }
INLINE floats real(ints whole) { return __builtin_convertvector(whole, floats); }

INLINE ints load(const void *at) {
  ints found;
  __builtin_memcpy(&found, at, BYTES);
  return found;
}

INLINE void store(void *at, ints numbers) { __builtin_memcpy(at, &numbers, BYTES); }

// The first `count` bytes from `at` on and zeros after them; no others are read.
INLINE ints load_some(const uint8_t *at, int count) {
  if (count >= BYTES) return load(at);
  uint8_t whole[BYTES] = {0};
  for (int i = 0; i < count; i++) whole[i] = at[i];
  return load(whole);
}

// Four bytes for all positions.
INLINE ints four_of(const int8_t *at) {
  int32_t four;
  __builtin_memcpy(&four, at, 4);
  return all(four);
}

// Next, by instruction set:
// CODE_OFFSET: a code counts as so much less in `dot`; FOUR: bytes that four weights take;
// weights_of: four weights for all positions; dot: + the products of four codes and four weights, in each number.
#if defined(__x86_64__)
#include <immintrin.h>

#define CODE_OFFSET 0

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#define FOUR 4
#define weights_of four_of
typedef ints weights;

INLINE ints dot(ints sum, ints codes, weights four) {
#ifdef __AVX512VNNI__
  return (ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, (__m512i)four);
#else
  return (ints)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)codes, (__m256i)four);
#endif
}

#else
// The instruction that multiplies bytes saturates its sums of two, so here they are 16 bits, and weights come as such: the
// first and third of four, then the second and fourth.
#define FOUR 8
typedef struct {
  ints even, odd;
} weights;

INLINE weights weights_of(const int8_t *at) { return (weights){four_of(at), four_of(at + 4)}; }

INLINE ints dot(ints sum, ints codes, weights four) {
  __m256i even = _mm256_and_si256((__m256i)codes, _mm256_set1_epi16(255)), odd = _mm256_srli_epi16((__m256i)codes, 8);
  sum += (ints)_mm256_madd_epi16(even, (__m256i)four.even);
  return sum + (ints)_mm256_madd_epi16(odd, (__m256i)four.odd);
}
#endif

#if LANES == 16
#define X86(name) _mm512_##name
#define NUMBERS __m512i
#define REALS __m512
INLINE NUMBERS in_each_quad(__m128i four) { return _mm512_broadcast_i32x4(four); }
#else
#define X86(name) _mm256_##name
#define NUMBERS __m256i
#define REALS __m256
INLINE NUMBERS in_each_quad(__m128i four) { return _mm256_broadcastsi128_si256(four); }
#endif

INLINE ints nearest(floats y) { return (ints)X86(cvtps_epi32)((REALS)y); }
INLINE floats larger(floats a, floats b) { return (floats)X86(max_ps)((REALS)a, (REALS)b); }

// Four whole numbers at each position -> bytes, saturated, the four of a position side by side.
INLINE ints bytes_of(const ints whole[4]) {
  // Packing leaves in each 128 bits four positions of the first number, four of the second ...
  NUMBERS low = X86(packs_epi32)((NUMBERS)whole[0], (NUMBERS)whole[1]);
  NUMBERS high = X86(packs_epi32)((NUMBERS)whole[2], (NUMBERS)whole[3]);
  NUMBERS turned = in_each_quad(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return (ints)X86(shuffle_epi8)(X86(packus_epi16)(low, high), turned);
}

// How far four bytes are apart from four others, summed, in each number.
INLINE ints apart(ints a, ints b) {
  NUMBERS most = X86(max_epu8)((NUMBERS)a, (NUMBERS)b), least = X86(min_epu8)((NUMBERS)a, (NUMBERS)b);
  NUMBERS pairs = X86(maddubs_epi16)(X86(sub_epi8)(most, least), X86(set1_epi8)(1));
  return (ints)X86(madd_epi16)(pairs, X86(set1_epi16)(1));
}

#else
#include <arm_neon.h>

#define CODE_OFFSET 128  // SDOT takes signed bytes only
#define FOUR 4
#define weights_of four_of
typedef ints weights;

INLINE ints dot(ints sum, ints codes, weights four) {
  return vdotq_s32(sum, (int8x16_t)(codes ^ all((int32_t)0x80808080)), (int8x16_t)four);
}

INLINE ints nearest(floats y) { return vcvtnq_s32_f32(y); }
INLINE floats larger(floats a, floats b) { return vmaxq_f32(a, b); }

INLINE ints bytes_of(const ints whole[4]) {
  const uint8x16_t turned = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  int16x8_t low = vcombine_s16(vqmovn_s32(whole[0]), vqmovn_s32(whole[1]));
  int16x8_t high = vcombine_s16(vqmovn_s32(whole[2]), vqmovn_s32(whole[3]));
  return (ints)vqtbl1q_u8(vcombine_u8(vqmovun_s16(low), vqmovun_s16(high)), turned);
}

INLINE ints apart(ints a, ints b) {
  return (ints)vpaddlq_u16(vpaddlq_u8(vabdq_u8((uint8x16_t)a, (uint8x16_t)b)));
}
#endif

// Four vectors as four by four numbers within each 128 bits, turned.
INLINE void turn(ints out[4], const ints in[4]) {
  ints a = CHOOSE(in[0], in[1], LOW), b = CHOOSE(in[0], in[1], HIGH);
  ints c = CHOOSE(in[2], in[3], LOW), d = CHOOSE(in[2], in[3], HIGH);
  out[0] = CHOOSE(a, c, LOW_PAIRS), out[1] = CHOOSE(a, c, HIGH_PAIRS);
  out[2] = CHOOSE(b, d, LOW_PAIRS), out[3] = CHOOSE(b, d, HIGH_PAIRS);
}
