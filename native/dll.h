// What Windows wants of a library that calls no other one.
#pragma once
#include <cpuid.h>
#include <stdint.h>

#define VISIBLE __declspec(dllexport)

int _fltused;  // the linker looks for it where floats are computed with

// Windows adds memory to a stack a page at a time, as the page below the last one is touched. Compilers call the system's
// library for that before they use more; here it is done once, for all that follows.
static __attribute__((noinline)) void reach_stack(int halves_of_pages) {
  char half[2048];
  __asm__ volatile("" : : "r"(half) : "memory");  // or the compiler would leave it out
  if (halves_of_pages) reach_stack(halves_of_pages - 1);
  __asm__ volatile("" : : "r"(half) : "memory");
}
#define REACH_STACK() reach_stack(16)

// What Windows does not say of the processor, as bits: AVX-VNNI, AVX-512 BW, AVX-512 VNNI, FMA.
VISIBLE int32_t keenframe_features(void) {
  uint32_t a = 0, b = 0, c = 0, d = 0, more = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  int32_t found = (c >> 12 & 1) << 3;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  found |= (b >> 30 & 1) << 1 | (c >> 11 & 1) << 2;
  if (a >= 1 && __get_cpuid_count(7, 1, &more, &b, &c, &d)) found |= more >> 4 & 1;
  return found;
}
