// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: resolv.conf and hosts, with a NUL between their texts. Whatever they say, there is a name server to
// ask, the numbers are within their bounds, and each name of the hosts file is found by itself.
#include "net/name_files.h"

#include <ctype.h>
#include <unistd.h>

#include "base/log.h"
#include "fuzz.h"

static char paths[2][64];

static void write_file(const char *path, struct str text) {
  FILE *file = fopen(path, "w");
  REQUIRE(file && fwrite(text.ptr, 1, text.len, file) == text.len);
  fclose(file);
}

static void remove_files(void) {
  for (int i = 0; i < 2; i++) unlink(paths[i]);
}

static void begin(void) {
  if (paths[0][0]) return;
  log_set_level(LOG_ERROR);
  for (int i = 0; i < 2; i++)
    snprintf(paths[i], sizeof paths[i], "/dev/shm/fuzz-names-%d-%d", (int)getpid(), i);
  atexit(remove_files);
}

static void require_settings(const struct name_files *f) {
  const char *why;
  REQUIRE(f->servers && dns_servers_check(f->servers, &why));
  REQUIRE(f->ndots <= 15 && f->search_count <= NAME_SEARCH_MOST);
  REQUIRE(!f->options.timeout_s == !f->options.attempts);
  REQUIRE(f->options.timeout_s <= DNS_TIMEOUT_MOST_S && f->options.attempts <= DNS_ATTEMPTS_MOST);
  for (unsigned i = 0; i < f->search_count; i++) REQUIRE(f->search[i][0] && f->search[i][0] != '.');
}

static void require_hosts(const struct name_files *f) {
  for (unsigned i = 0; i < f->host_count; i++) {
    unsigned count;
    const struct host_entry *first = name_files_find(f, f->hosts[i].name, &count);
    REQUIRE(first && first <= &f->hosts[i] && &f->hosts[i] < first + count);
    REQUIRE(f->hosts[i].name[0]);
    for (const char *c = f->hosts[i].name; *c; c++)
      REQUIRE(!isspace((unsigned char)*c) && !isupper((unsigned char)*c));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  const char *end = size ? memchr(text, '\0', size) : NULL;
  size_t length = end ? (size_t)(end - text) : size;
  struct name_files files;
  begin();
  write_file(paths[0], (struct str){text, length});
  write_file(paths[1], end ? (struct str){end + 1, size - length - 1} : (struct str){text, length});
  name_files_init(&files);
  files.resolv_path = paths[0];
  files.hosts_path = paths[1];
  REQUIRE(name_files_refresh(&files, 1));
  require_settings(&files);
  require_hosts(&files);
  name_files_clear(&files);
  return 0;
}
