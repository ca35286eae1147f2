// SPDX-License-Identifier: Apache-2.0
// profile_command: the file is opened before the proxy is asked: what cannot be written is said at once, not after the
// profile. A file that was there keeps what it has until there is something to write.
#include "cli/profile_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/safe_file.h"
#include "cli/flame.h"
#include "cli/steer.h"
#include "runtime/process.h"

enum { DEFAULT_MS = 10000 };

static int fail(const char *path) {
  fprintf(stderr, "perilune: cannot write %s: %s\n", path, safe_reason_new(errno));
  return EXIT_FAILED;
}

/* False: errno says why. */
static bool put(FILE *out, struct flame *flame, bool is_folded) {
  if (is_folded)
    flame_print_folded(flame, out);
  else
    flame_print_svg(flame, out);
  return fflush(out) == 0 && !ferror(out);
}

/* A file that was there may be longer; a pipe or a device has no length. */
static bool write_file(FILE *out, struct flame *flame, bool is_folded) {
  if (!put(out, flame, is_folded)) return false;
  long length = ftell(out);
  return length < 0 || ftruncate(fileno(out), length) == 0 || errno == EINVAL;
}

static void print_summary(struct flame *flame, FILE *out) {
  double ms = (double)flame->root.us / 1000;
  if (flame->is_wait)
    fprintf(out, "hooks waited for %.1f ms in %.1f s, by line of the policy:\n", ms,
            (double)flame->ms / 1000);
  else
    fprintf(out,
            "hooks used the processor for %.1f ms in %.1f s (the proxy itself: %.1f ms), by line of the "
            "policy:\n",
            ms, (double)flame->ms / 1000, (double)flame->outside_us / 1000);
  if (flame->root.us)
    flame_print_top(flame, out);
  else
    fprintf(out, "  nothing: no hook %s\n", flame->is_wait ? "has waited" : "was found running");
}

static int show(const struct arguments *a, struct flame *flame, FILE *file) {
  bool to_screen = a->look.folded && !a->output;
  if (to_screen && !put(stdout, flame, true)) return errno == EPIPE ? EXIT_FAILED : fail("the output");
  if (file && !write_file(file, flame, a->look.folded)) return fail(a->output);
  print_summary(flame, to_screen ? stderr : stdout);
  if (file) printf("written to %s\n", a->output);
  return EXIT_FINE;
}

static int ask(struct arguments *a, FILE *file) {
  char line[64], *text = NULL;
  size_t bytes = 0;
  struct flame flame;
  FILE *raw = open_memstream(&text, &bytes);
  snprintf(line, sizeof line, "profile %s %u", a->look.wait ? "wait" : "cpu",
           arguments_has(a, "--for") ? a->for_ms : DEFAULT_MS);
  int code = command_fetch(a, line, raw);
  fclose(raw);
  if (code == EXIT_FINE) {
    if (flame_read(&flame, (struct str){text, bytes})) {
      code = show(a, &flame, file);
    } else {
      fputs("perilune: the proxy's answer is no profile; is it of another version?\n", stderr);
      code = EXIT_FAILED;
    }
    flame_free(&flame);
  }
  free(text);
  return code;
}

/* An empty file that was made for nothing goes. */
int profile_command(struct arguments *a) {
  bool existed = a->output && access(a->output, F_OK) == 0;
  FILE *file = a->output ? fopen(a->output, existed ? "r+e" : "we") : NULL;
  if (a->output && !file) return fail(a->output);
  int code = ask(a, file);
  if (file && fclose(file) != 0 && code == EXIT_FINE) code = fail(a->output);
  if (code != EXIT_FINE && file && !existed) unlink(a->output);
  return code;
}
