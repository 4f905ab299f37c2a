// Computes with a Windows library what native/dump.py has written, and compares. Any Windows compiler makes it a program:
//
//   x86_64-w64-mingw32-gcc -O2 -o check.exe native/check_dll.c && wine check.exe LIBRARY.dll FILE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "keen.h"

static FILE *file;

static void read(void *to, size_t size) {
  if (fread(to, 1, size, file) != size) {
    fprintf(stderr, "the file ends too early\n");
    exit(2);
  }
}

static void *bytes(size_t size) {
  char *at = malloc(size + 64);
  at += 64 - (size_t)at % 64;
  return at;
}

static void *array(size_t size) {
  void *found = bytes(size);
  read(found, size);
  return found;
}

static void *sized(void) {
  int32_t size;
  read(&size, sizeof size);
  return array(size);
}

int main(int count, char **words) {
  if (count != 3) return fprintf(stderr, "check.exe LIBRARY.dll FILE\n"), 2;
  HMODULE library = LoadLibraryA(words[1]);
  file = fopen(words[2], "rb");
  if (!library || !file) return fprintf(stderr, "cannot open %s\n", library ? words[2] : words[1]), 2;
  void (*run)(layer *, int32_t, const plane *, const picture *, int32_t) = (void *)GetProcAddress(library, "keenframe_run");
  int32_t (*features)(void) = (void *)GetProcAddress(library, "keenframe_features");
  int32_t frames, wrong = 0;
  read(&frames, sizeof frames);
  for (int f = 0; f < frames; f++) {
    int32_t head[5];
    picture p = {0};
    read(head, sizeof head);
    int rows = head[3], columns = head[4];
    read(&p.strength, sizeof p.strength);
    p.rows = rows, p.columns = columns, p.stride = 4 * columns;
    p.luma = array(rows * columns * 16);
    p.basis = array(256 * sizeof(float));
    p.previous = array(rows * columns * 16);
    p.keep = array(rows * columns * sizeof(float));
    p.pixels = bytes(rows * columns * 16);
    plane *planes = calloc(head[1], sizeof *planes);
    for (int i = 0; i < head[1]; i++) {
      int32_t numbers[5];
      int64_t sizes[2];
      read(numbers, sizeof numbers);
      read(sizes, sizeof sizes);
      planes[i] = (plane){bytes(sizes[1]), numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], sizes[0]};
      memset(planes[i].data, numbers[4], sizes[1]);
    }
    layer *layers = calloc(head[0], sizeof *layers);
    for (int i = 0; i < head[0]; i++) {
      read(&layers[i].kind, 9 * sizeof(int32_t));
      read(&layers[i].gain, sizeof(float));
      layers[i].weights = sized(), layers[i].start = sized(), layers[i].scale = sized(), layers[i].shift = sized();
    }
    run(layers, head[0], planes, &p, head[2]);
    uint8_t *wanted = array(rows * columns * 16);
    for (int i = 0; i < rows * columns * 16; i++) wrong += p.pixels[i] != wanted[i];
  }
  printf("%d frames, %d pixels differ; features %d\n", frames, wrong, features());
  return wrong != 0;
}
