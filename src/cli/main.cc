#include "cli/program.h"

int main(int argc, char** argv) {
  return trivet::cli::run_trivet({argv + 1, argv + argc});
}
