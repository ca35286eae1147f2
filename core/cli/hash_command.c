// SPDX-License-Identifier: Apache-2.0
// hash_command: asks for a password in the terminal, twice and without showing it, or reads it as the one line of
// standard input; never as a word of the command line, which everybody on the machine can see. Prints its hash.
//
// The hard problem is a signal while the terminal shows nothing: its handler puts the terminal right first.
#include "cli/hash_command.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "net/password.h"
#include "runtime/process.h"

/* With room for one byte too many, the line's end, and one byte behind it. */
struct secret {
  char bytes[PASSWORD_MOST + 3];
  size_t length;
};

static const char *const methods[] = {
    [PASSWORD_YESCRYPT] = "yescrypt", [PASSWORD_BCRYPT] = "bcrypt", [PASSWORD_ARGON2ID] = "argon2id"};
enum { METHODS = sizeof methods / sizeof *methods };

static int refuse(const char *what) {
  fprintf(stderr, "perilune: %s\n", what);
  return EXIT_BAD_INPUT;
}

/* --- the terminal ----------------------------------------------------------------------------------------- */

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { ENDING = sizeof ending / sizeof *ending };
static struct termios shown;

static void on_end(int number) {
  tcsetattr(STDIN_FILENO, TCSANOW, &shown);
  signal(number, SIG_DFL);
  raise(number);
}

static bool hide(void) {
  struct termios hidden;
  if (tcgetattr(STDIN_FILENO, &shown) != 0) return false;
  hidden = shown;
  hidden.c_lflag &= ~(tcflag_t)ECHO;
  for (int i = 0; i < ENDING; i++) signal(ending[i], on_end);
  signal(SIGTSTP, SIG_IGN); /* a shell would be left with such a terminal */
  return tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0;
}

static void show(void) {
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
  for (int i = 0; i < ENDING; i++) signal(ending[i], SIG_DFL);
  signal(SIGTSTP, SIG_DFL);
}

/* --- reading ---------------------------------------------------------------------------------------------- */

/* Until the end of the line (`by_line`) or of the input, or until there is no more room. */
static void read_input(struct secret *s, bool by_line) {
  ssize_t got = 1;
  s->length = 0;
  while (got > 0 && s->length < sizeof s->bytes && !(by_line && memchr(s->bytes, '\n', s->length))) {
    got = read(STDIN_FILENO, s->bytes + s->length, sizeof s->bytes - s->length);
    if (got > 0) s->length += (size_t)got;
  }
}

/* Takes the line's end away. NULL: it is a password; else what is wrong. */
static const char *fault_of(struct secret *s) {
  const char *end = memchr(s->bytes, '\n', s->length);
  size_t length = end ? (size_t)(end - s->bytes) : s->length;
  if (length > PASSWORD_MOST) return "the password is too long: it may have 511 bytes";
  if (end && length + 1 < s->length) return "standard input has more than one line: a password is one";
  s->length = length;
  if (length == 0) return "there is no password: the line is empty";
  return memchr(s->bytes, '\0', length) ? "there is a byte 0 in the password" : NULL;
}

static const char *ask(struct secret *s, const char *question) {
  fputs(question, stderr);
  read_input(s, true);
  fputc('\n', stderr);
  return fault_of(s);
}

static const char *ask_twice(struct secret *s) {
  struct secret again = {.length = 0};
  const char *fault = "the terminal cannot be told to show nothing";
  if (hide()) {
    fault = ask(s, "Password: ");
    if (!fault) fault = ask(&again, "Again: ");
    if (!fault && (s->length != again.length || memcmp(s->bytes, again.bytes, s->length) != 0))
      fault = "these were two passwords: nothing was made";
    show();
  }
  explicit_bzero(&again, sizeof again);
  return fault;
}

static const char *read_password(struct secret *s) {
  if (isatty(STDIN_FILENO)) return ask_twice(s);
  read_input(s, false);
  return fault_of(s);
}

/* --- making ----------------------------------------------------------------------------------------------- */

static bool is_name(const char *name) {
  for (const char *c = name; *c; c++)
    if (*c == ':' || (unsigned char)*c < ' ' || *c == 0x7f) return false;
  return *name != '#' && *name != ' ';
}

static int make(const char *name, enum password_method method, const struct secret *s) {
  char hash[PASSWORD_HASH_BYTES];
  if (method == PASSWORD_BCRYPT && s->length > BCRYPT_PASSWORD_MOST)
    return refuse("bcrypt looks at the first 72 bytes of a password only: take --method yescrypt");
  if (!password_make(method, (struct str){s->bytes, s->length}, hash)) {
    fprintf(stderr, "perilune: no hash can be made by %s here: take another --method\n", methods[method]);
    return EXIT_FAILED;
  }
  printf("%s%s%s\n", name ? name : "", name ? ":" : "", hash);
  return EXIT_FINE;
}

int hash_command(struct arguments *a) {
  struct secret s = {.length = 0};
  int method = 0;
  while (a->method && method < METHODS && strcmp(methods[method], a->method) != 0) method++;
  if (method == METHODS)
    return arguments_refuse(COMMAND_HASH, "--method wants yescrypt, bcrypt or argon2id, not '%s'", a->method);
  if (method == PASSWORD_ARGON2ID && !password_has_argon2())
    return arguments_refuse(COMMAND_HASH, "this build has no argon2: take yescrypt");
  if (a->operand && !is_name(a->operand))
    return arguments_refuse(COMMAND_HASH, "'%s' is no name of a user: a text without a colon", a->operand);
  const char *fault = read_password(&s);
  int code = fault ? refuse(fault) : make(a->operand, (enum password_method)method, &s);
  explicit_bzero(&s, sizeof s);
  return code;
}
