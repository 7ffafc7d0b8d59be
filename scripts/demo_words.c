// Counts lines and words of a file: the WebAssembly program of scripts/demo.
#include <ctype.h>
#include <stdio.h>

int main(int argc, char** argv) {
  FILE* file = argc == 2 ? fopen(argv[1], "r") : stdin;
  if (file == NULL) {
    perror(argv[1]);
    return 3;
  }
  long lines = 0;
  long words = 0;
  int in_word = 0;
  for (int c = fgetc(file); c != EOF; c = fgetc(file)) {
    lines += c == '\n';
    words += !in_word && !isspace(c);
    in_word = !isspace(c);
  }
  printf("%s: %ld lines, %ld words\n", argc == 2 ? argv[1] : "stdin", lines, words);
  return 0;
}
