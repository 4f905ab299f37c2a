#include "keen.h"

/* Set by the linker: where static data and the stack end. */
extern unsigned char __heap_base;

enum { PAGE = 65536, ALIGN = 64 };

static uint32_t top;
static int failed;

uint32_t mark(void) {
  if (!top) top = ((uint32_t)&__heap_base + ALIGN - 1) & -ALIGN;
  return top;
}

/* Zeroed memory, 64-byte aligned; NULL, and `exhausted` from then on, when there is no more. */
void *take(uint32_t bytes) {
  uint32_t start = mark();
  uint64_t end = ((uint64_t)start + bytes + ALIGN - 1) & -(uint64_t)ALIGN;
  uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
  if (end > have) {
    uint64_t pages = (end - have + PAGE - 1) / PAGE;
    if (end > 0xffff0000u || __builtin_wasm_memory_grow(0, (uint32_t)pages) == (__SIZE_TYPE__)-1) {
      failed = 1;
      return 0;
    }
  }
  top = (uint32_t)end;
  __builtin_memset((void *)start, 0, bytes);
  return (void *)start;
}

void release(uint32_t to) {
  top = to;
  failed = 0;
}

int exhausted(void) { return failed; }

/* The border is one position wide, and so far beyond the right and the bottom that whole tiles fit. */
int map_new(Map *map, int width, int height, int channels) {
  int columns = (width + TILE - 1) / TILE * TILE + 2, rows = (height + TILE - 1) / TILE * TILE + 2;
  map->width = width, map->height = height, map->channels = channels;
  map->stride = columns * channels;
  /* matmul reads rows in fours, so up to three positions beyond the last one. */
  float *start = take(((uint32_t)rows * columns + TILE) * channels * sizeof(float));
  if (!start) return 0;
  map->origin = start + map->stride + channels;
  return 1;
}
