// SPDX-License-Identifier: Apache-2.0
// name_files: both are small local files. A lookup reads them whole, but only if the result of stat(2) has changed.
// If a file is being written in place, its time changes again, so it is read again.
#include "net/name_files.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/safe_file.h"
#include "net/dns_client.h"

#define LOOK_EVERY_S 2.0
#define NO_SERVERS   "127.0.0.1:53" /* resolv.conf(5) */
enum { HOSTS_MOST = 100000, NDOTS_MOST = 15 };

void name_files_init(struct name_files *files) {
  *files = (struct name_files){.resolv_path = "/etc/resolv.conf", .hosts_path = "/etc/hosts", .ndots = 1};
}

static void clear_search(struct name_files *f) {
  for (unsigned i = 0; i < f->search_count; i++) free(f->search[i]);
  f->search_count = 0;
}

void name_files_clear(struct name_files *f) {
  clear_search(f);
  free(f->servers);
  free(f->hosts_text);
  free(f->hosts);
  f->servers = f->hosts_text = NULL;
  f->hosts = NULL;
  f->host_count = 0;
}

void name_files_doubt(struct name_files *files) { files->look_again = 0; }

/* --- reading ------------------------------------------------------------------------------------------- */

static bool is_same(const struct stat *a, const struct stat *b) {
  return file_is_unchanged(a, b) && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
         a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* If the file has changed since `seen`: its text, and `seen` becomes what it is now. A file that does not exist has the
 * text "". Owned by the caller. NULL: it has not changed, or cannot be read. */
static char *read_changed(const char *path, struct stat *seen) {
  struct stat now = {0};
  struct buf text = {0};
  char *copy = NULL;
  if (stat(path, &now) != 0 && errno != ENOENT && errno != ENOTDIR) return NULL;
  if (is_same(&now, seen)) return NULL;
  int fd = now.st_ino ? safe_open_to_read(path) : -1;
  if (fd < 0 && now.st_ino) return NULL;
  if (fd < 0 || (fstat(fd, &now) == 0 && safe_read_all(fd, SAFE_READ_MOST, &text))) {
    copy = str_to_cstring(buf_len(&text) ? buf_str(&text) : STR(""));
    *seen = now;
  }
  buf_release(&text);
  return copy;
}

/* The next word of a line. */
static bool take_word(struct str *line, struct str *word) {
  while (line->len && isspace((unsigned char)*line->ptr)) *line = str_from(*line, 1);
  size_t length = 0;
  while (length < line->len && !isspace((unsigned char)line->ptr[length])) length++;
  *word = (struct str){line->ptr, length};
  *line = str_from(*line, length);
  return length > 0;
}

/* --- resolv.conf --------------------------------------------------------------------------------------- */

static void take_search(struct name_files *f, struct str words) {
  struct str word;
  clear_search(f);
  while (f->search_count < NAME_SEARCH_MOST && take_word(&words, &word)) {
    while (word.len && word.ptr[0] == '.') word = str_from(word, 1);
    if (word.len && word.len < 256) f->search[f->search_count++] = str_to_cstring(word);
  }
}

/* The text ends with a NUL. */
static bool take_number(struct str word, struct str name, unsigned most, unsigned *number) {
  if (!str_starts_with(word, name)) return false;
  long value = strtol(word.ptr + name.len, NULL, 10);
  *number = value < 0 ? 0 : value > (long)most ? most : (unsigned)value;
  return true;
}

static void take_options(struct name_files *f, struct str words) {
  struct str word;
  while (take_word(&words, &word)) {
    unsigned number;
    if (take_number(word, STR("ndots:"), NDOTS_MOST, &number)) f->ndots = number;
    if (take_number(word, STR("timeout:"), DNS_TIMEOUT_MOST_S, &number))
      f->options.timeout_s = number ? number : 1;
    if (take_number(word, STR("attempts:"), DNS_ATTEMPTS_MOST, &number))
      f->options.attempts = number ? number : 1;
    if (str_equal(word, STR("rotate"))) f->options.rotates = true;
  }
}

/* If only one of the two is given, the other has the manual's default. */
static void complete_options(struct dns_options *options) {
  if (options->timeout_s && !options->attempts) options->attempts = 2;
  if (options->attempts && !options->timeout_s) options->timeout_s = 5;
}

/* A server that is no address is left out, and those behind the most that may be asked. `count` are taken already. */
static bool take_server(struct buf *servers, struct str word, unsigned count) {
  const char *why;
  char *text = str_to_cstring(word);
  bool is_server = !strchr(text, ',') && dns_servers_check(text, &why),
       is_taken = is_server && count < DNS_SERVERS_MOST;
  if (is_taken && count) buf_append_str(servers, STR(","));
  if (is_taken) buf_append_str(servers, word);
  if (!is_server) log_warn("resolv.conf: '%s' is no address of a name server", text);
  if (is_server && !is_taken)
    log_warn("resolv.conf: '%s' is not asked: there are %d name servers before it", text, DNS_SERVERS_MOST);
  free(text);
  return is_taken;
}

static bool read_resolv(struct name_files *f, const char *text) {
  struct str rest = str_of(text), line, word;
  struct buf servers = {0};
  struct dns_options before = f->options;
  unsigned count = 0;
  clear_search(f);
  f->ndots = 1;
  f->options = (struct dns_options){0};
  while (str_split(&rest, '\n', &line)) {
    if (line.len && (line.ptr[0] == '#' || line.ptr[0] == ';')) continue;
    if (!take_word(&line, &word)) continue;
    if (str_equal(word, STR("search")) || str_equal(word, STR("domain"))) take_search(f, line);
    if (str_equal(word, STR("options"))) take_options(f, line);
    if (str_equal(word, STR("nameserver")) && take_word(&line, &word))
      count += take_server(&servers, word, count);
  }
  char *now = str_to_cstring(buf_len(&servers) ? buf_str(&servers) : STR(NO_SERVERS));
  complete_options(&f->options);
  bool is_other = !f->servers || strcmp(f->servers, now) != 0 || f->options.timeout_s != before.timeout_s ||
                  f->options.attempts != before.attempts || f->options.rotates != before.rotates;
  buf_release(&servers);
  free(f->servers);
  f->servers = now;
  return is_other;
}

/* --- hosts --------------------------------------------------------------------------------------------- */

static bool read_address(struct str word, struct host_entry *entry) {
  char text[INET6_ADDRSTRLEN];
  if (!str_to_text(word, text, sizeof text)) return false;
  entry->family = strchr(text, ':') ? AF_INET6 : AF_INET;
  return inet_pton(entry->family, text, entry->address.bytes) == 1;
}

static int by_name(const void *a, const void *b) {
  const struct host_entry *one = a, *other = b;
  int order = strcmp(one->name, other->name);
  return order ? order : (one->line > other->line) - (one->line < other->line);
}

static void add_host(struct name_files *f, const struct host_entry *entry, unsigned *most) {
  if (f->host_count == HOSTS_MOST) return;
  if (f->host_count == *most) {
    *most = *most ? *most * 2 : 64;
    f->hosts = memory_realloc(f->hosts, *most * sizeof *f->hosts);
  }
  f->hosts[f->host_count++] = *entry;
}

/* Takes over `text`, in which names become lower case and end with a NUL. */
static void read_hosts(struct name_files *f, char *text) {
  unsigned most = 0, number = 0;
  free(f->hosts_text);
  free(f->hosts);
  f->hosts_text = text;
  f->hosts = NULL;
  f->host_count = 0;
  for (char *line = text, *next; line; line = next, number++) {
    struct host_entry entry = {.line = number};
    struct str rest, word;
    next = strchr(line, '\n');
    if (next) *next++ = '\0';
    line[strcspn(line, "#")] = '\0';
    rest = str_of(line);
    if (!take_word(&rest, &word) || !read_address(word, &entry)) continue;
    while (take_word(&rest, &word)) {
      char *name = (char *)word.ptr;
      bool is_end = rest.len == 0;
      for (size_t i = 0; i < word.len; i++) name[i] = (char)tolower((unsigned char)name[i]);
      if (!is_end) rest = str_from(rest, 1);
      name[word.len] = '\0';
      entry.name = name;
      add_host(f, &entry, &most);
    }
  }
  if (f->host_count) qsort(f->hosts, f->host_count, sizeof *f->hosts, by_name);
}

const struct host_entry *name_files_find(const struct name_files *f, const char *name, unsigned *count) {
  unsigned low = 0, high = f->host_count;
  while (low < high) {
    unsigned middle = low + (high - low) / 2;
    if (strcmp(f->hosts[middle].name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  for (*count = 0; low + *count < f->host_count && strcmp(f->hosts[low + *count].name, name) == 0;) ++*count;
  return *count ? &f->hosts[low] : NULL;
}

/* --- both ---------------------------------------------------------------------------------------------- */

bool name_files_refresh(struct name_files *f, double now) {
  bool is_other = false;
  if (f->servers && now < f->look_again) return false;
  f->look_again = now + LOOK_EVERY_S;
  char *resolv = read_changed(f->resolv_path, &f->resolv_stat);
  if (!resolv && !f->servers) resolv = str_to_cstring(STR(""));
  if (resolv) is_other = read_resolv(f, resolv);
  free(resolv);
  char *hosts = read_changed(f->hosts_path, &f->hosts_stat);
  if (hosts) read_hosts(f, hosts);
  CHECK(f->servers != NULL);
  return is_other;
}
