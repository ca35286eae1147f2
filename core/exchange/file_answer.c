// SPDX-License-Identifier: Apache-2.0
// file_answer: which file is meant, and the head of the answer (RFC 9110 sections 13 and 14). See file_answer.h. What a
// client can learn of what it does not get is the same in all cases: there is none.
#include "exchange/file_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/stream.h"
#include "http/accept_encoding.h"
#include "http/conditions.h"
#include "http/file_path.h"
#include "http/media_type.h"
#include "http/ranges.h"

enum { ROUNDS_MOST = 32 };

struct wanted {
  struct exchange *x;
  struct file_answer *f;
  const struct file_root *root;
  struct str path;
};

/* --- looking ---------------------------------------------------------------------------------------------- */

/* What a thread does for a worker: opens a file, or lists a folder. */
struct disk_open {
  struct offload_job job; /* first */
  struct file_answer *of; /* NULL: nobody waits any more */
  struct proxy *proxy;    /* borrowed: the worker's */
  bool lists, shows_hidden;
  char *root, *path; /* owned */
  struct open_file *file;
  char *listing; /* owned */
  size_t listing_bytes;
  int error;
};

static void look(struct offload_job *job) {
  struct disk_open *o = (struct disk_open *)job;
  if (o->lists)
    o->listing = file_listing(o->root, o->path, o->shows_hidden, &o->listing_bytes);
  else
    o->file = open_file_read(str_of(o->root), str_of(o->path), false);
  o->error = o->lists && !o->listing ? errno : 0;
}

static void free_open(struct offload_job *job) {
  struct disk_open *o = (struct disk_open *)job;
  open_file_release(o->file);
  free(o->listing);
  free(o->root);
  free(o->path);
  free(o);
}

static void on_looked(struct offload_job *job) {
  struct disk_open *o = (struct disk_open *)job;
  struct file_answer *f = o->of;
  if (o->file) open_file_keep(o->proxy, o->file);
  if (f && o->lists) {
    f->listing = o->listing;
    f->listing_bytes = o->listing_bytes;
    f->listing_error = o->error;
    o->listing = NULL;
  }
  if (f) f->opening = NULL;
  free_open(job);
  if (f) f->wake(f->owner);
}

static enum file_result ask_disk(const struct wanted *w, struct str path, bool lists) {
  struct disk_open *o = memory_zalloc(sizeof *o);
  o->job = (struct offload_job){.home = w->x->proxy->mailbox, .run = look, .done = on_looked};
  o->of = w->f;
  o->proxy = w->x->proxy;
  o->lists = lists;
  o->shows_hidden = w->root->shows_hidden;
  o->root = str_to_cstring(w->root->path);
  o->path = str_to_cstring(path);
  if (!offload_submit(OFFLOAD_DISK, &o->job)) {
    free_open(&o->job);
    return FILE_BUSY;
  }
  w->f->opening = o;
  return FILE_WAITS;
}

void file_cancel(struct file_answer *f) {
  if (f->opening) f->opening->of = NULL;
  f->opening = NULL;
}

/* A worker must not wait for a disk. A test or a replay may: it serves nobody else, and its clock stands still, so a
 * thread could not wake it. */
static bool must_not_wait(const struct exchange *x) {
  return x->proxy->mailbox && !(x->stream && x->stream->is_rehearsed);
}

/* *found: a reference to the file or folder, where it says FILE_ANSWERED. */
static enum file_result find(const struct wanted *w, struct str path, struct open_file **found) {
  struct proxy *proxy = w->x->proxy;
  struct open_file *file = open_file_find(proxy, w->root->path, path);
  *found = NULL;
  if (!file) {
    file = open_file_read(w->root->path, path, must_not_wait(w->x));
    if (!file) return ask_disk(w, path, false);
    if (!open_file_is_trouble(file->error)) open_file_keep(proxy, file);
  }
  int error = file->error;
  if (error) open_file_release(file);
  if (!error) *found = file;
  if (open_file_is_trouble(error)) return FILE_BUSY;
  if (error == EACCES || error == EPERM) return FILE_REFUSED;
  return error ? FILE_MISSING : FILE_ANSWERED;
}

/* --- its fields ------------------------------------------------------------------------------------------- */

static struct str type_of(const struct file_root *root, struct str path) {
  struct str ending = media_type_ending(path);
  for (unsigned i = 0; i < root->type_count; i++)
    if (str_equal_nocase(root->types[i].ending, ending)) return root->types[i].type;
  return media_type_of(path);
}

static void add(struct exchange *x, const char *name, struct str value) {
  headers_add(&x->answer->response.headers, str_of(name), value);
}

static void set_status(struct exchange *x, unsigned status) {
  x->answer->response.status = (unsigned short)status;
  x->answer->response.reason = status_reason(status);
}

static void without_content(struct exchange *x, unsigned status) {
  condition_leave_out(&x->answer->response.headers);
  set_status(x, status);
  x->answer->is_file = false;
  x->answer->content = (struct str){0};
}

static void many_ranges(struct exchange *x, struct file_answer *f, const struct ranges *ranges,
                        struct str type) {
  uint64_t length = (uint64_t)f->file->info.st_size;
  struct str boundary = ranges_boundary(&x->proxy->dice, &x->arena);
  f->pieces = arena_zalloc(&x->arena, (2 * ranges->count + 1) * sizeof *f->pieces);
  for (unsigned i = 0; i < ranges->count; i++) {
    const struct range *range = &ranges->items[i];
    f->pieces[2 * i].text = ranges_part_head(range, length, boundary, type, &x->arena);
    f->pieces[2 * i + 1] = (struct file_piece){.first = range->first, .bytes = range_length(range)};
  }
  f->pieces[2 * ranges->count].text = ranges_end(boundary, &x->arena);
  f->count = 2 * ranges->count + 1;
  f->length = ranges_body_length(ranges, length, boundary, type);
  set_status(x, 206);
  headers_set_id(&x->answer->response.headers, FIELD_CONTENT_TYPE, ranges_content_type(boundary, &x->arena));
}

static void cut(struct exchange *x, struct file_answer *f, const struct validators *v, struct str type) {
  uint64_t length = (uint64_t)f->file->info.st_size;
  const struct field *field = headers_find(&x->request.headers, STR("Range"));
  struct ranges ranges;
  if (!field || x->request.method != METHOD_GET || !condition_if_range(&x->request.headers, v, time(NULL)))
    return;
  switch (ranges_parse(field->value, length, &ranges)) {
  case RANGES_WHOLE: return;
  case RANGES_OUTSIDE:
    without_content(x, 416);
    add(x, "Content-Range", range_field_outside(length, &x->arena));
    return;
  case RANGES_SOME: break;
  }
  if (ranges.count > 1) {
    many_ranges(x, f, &ranges, type);
    return;
  }
  set_status(x, 206);
  add(x, "Content-Range", range_field(&ranges.items[0], length, &x->arena));
  file_body_begin(f, ranges.items[0].first, range_length(&ranges.items[0]));
}

static void answer(const struct wanted *w, struct open_file *file, enum coding coding, bool varies) {
  static const char *const suffixes[CODING_COUNT] = {
      [CODING_GZIP] = "-gz", [CODING_BR] = "-br", [CODING_ZSTD] = "-zst"};
  struct exchange *x = w->x;
  struct str type = type_of(w->root, w->path), etag = str_of(file->etag);
  struct validators validators;
  open_file_release(w->f->file);
  w->f->file = file;
  exchange_answer(x, 200);
  x->answer->response.reason = status_reason(200);
  x->answer->is_file = true;
  headers_add_id(&x->answer->response.headers, FIELD_CONTENT_TYPE, type);
  if (suffixes[coding]) {
    etag = arena_printf(&x->arena, "%.*s%s\"", (int)etag.len - 1, etag.ptr, suffixes[coding]);
    add(x, "Content-Encoding", coding_name(coding));
  }
  if (varies) add(x, "Vary", STR("Accept-Encoding"));
  add(x, "Last-Modified", str_of(file->modified));
  add(x, "ETag", etag);
  add(x, "Accept-Ranges", STR("bytes"));
  if (w->root->cache_control.len) add(x, "Cache-Control", w->root->cache_control);
  file_body_begin(w->f, 0, (uint64_t)file->info.st_size);
  validators_of(&validators, &x->answer->response.headers, time(NULL));
  switch (condition_for_origin(&x->request, 200, &validators, time(NULL))) {
  case CONDITION_NOT_MODIFIED: without_content(x, 304); return;
  case CONDITION_FAILED: without_content(x, 412); return;
  case CONDITION_NONE:
  case CONDITION_FORWARD: break;
  }
  cut(x, w->f, &validators, type);
}

/* --- codings that lie beside it --------------------------------------------------------------------------- */

static bool is_packed(struct str type) {
  bool is_media = str_starts_with(type, STR("image/")) || str_starts_with(type, STR("video/")) ||
                  str_starts_with(type, STR("audio/"));
  return is_media && !str_equal(type, STR("image/svg+xml"));
}

/* One that is older than the file itself is of another state of it. */
static bool is_of(const struct open_file *coded, const struct open_file *plain) {
  const struct timespec *a = &coded->info.st_mtim, *b = &plain->info.st_mtim;
  return !coded->is_folder && (a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec >= b->tv_nsec));
}

static enum file_result answer_coded(const struct wanted *w, struct open_file *plain) {
  static const struct {
    enum coding coding;
    const char *ending;
  } all[] = {{CODING_ZSTD, ".zst"}, {CODING_BR, ".br"}, {CODING_GZIP, ".gz"}};
  struct open_file *coded[CODING_COUNT] = {0};
  unsigned offered = 0;
  enum file_result result = FILE_ANSWERED;
  struct accept_encoding accept;
  for (unsigned i = 0; i < 3 && result != FILE_WAITS; i++) {
    struct str path = arena_printf(&w->x->arena, "%.*s%s%c", STR_ARG(w->path), all[i].ending, '\0');
    path.len--;
    result = find(w, path, &coded[all[i].coding]);
    if (coded[all[i].coding] && is_of(coded[all[i].coding], plain)) offered |= 1u << all[i].coding;
  }
  enum coding best = CODING_IDENTITY;
  if (offered && result != FILE_WAITS) {
    accept_encoding_parse(&w->x->request.headers, &accept);
    best = accept_encoding_choose(&accept, offered | 1u << CODING_IDENTITY);
  }
  coded[CODING_IDENTITY] = plain;
  for (unsigned i = 0; i < CODING_COUNT; i++)
    if (i != best || result == FILE_WAITS) open_file_release(coded[i]);
  if (result == FILE_WAITS) return FILE_WAITS;
  answer(w, coded[best], best, offered != 0);
  return FILE_ANSWERED;
}

/* --- folders ---------------------------------------------------------------------------------------------- */

static enum file_result redirect(const struct wanted *w) {
  struct exchange *x = w->x;
  struct str target = x->request.target;
  struct str path = file_path_reference(w->path, &x->arena), query = str_from(target, str_find(target, '?'));
  exchange_answer(x, 301);
  x->answer->response.reason = status_reason(301);
  add(x, "Location",
      arena_printf(&x->arena, "%.*s%.*s/%.*s", STR_ARG(w->root->strip), STR_ARG(path), STR_ARG(query)));
  return FILE_ANSWERED;
}

static enum file_result list(const struct wanted *w) {
  struct file_answer *f = w->f;
  if (!w->root->lists) return FILE_MISSING;
  if (f->listed != w->root) {
    free(f->listing);
    f->listing = NULL;
    f->listing_error = 0;
    f->listed = w->root;
  }
  if (!f->listing && !f->listing_error && must_not_wait(w->x)) return ask_disk(w, w->path, true);
  if (!f->listing && !f->listing_error) {
    f->listing = file_listing(w->root->path.ptr, w->path.ptr, w->root->shows_hidden, &f->listing_bytes);
    f->listing_error = f->listing ? 0 : errno;
  }
  if (!f->listing) return f->listing_error == EACCES ? FILE_REFUSED : FILE_MISSING;
  exchange_answer(w->x, 200);
  w->x->answer->response.reason = status_reason(200);
  add(w->x, "Content-Type", STR("text/html; charset=utf-8"));
  w->x->answer->content = arena_dup(&w->x->arena, (struct str){f->listing, f->listing_bytes});
  return FILE_ANSWERED;
}

static enum file_result serve_path(struct wanted *w, bool is_folder) {
  struct open_file *file;
  if (is_folder) {
    struct str folder = w->path;
    if (!w->root->index.len) return list(w);
    w->path = arena_printf(&w->x->arena, "%.*s%.*s%c", STR_ARG(folder), STR_ARG(w->root->index), '\0');
    w->path.len--;
    enum file_result found = find(w, w->path, &file);
    if (found == FILE_ANSWERED && file->is_folder) {
      open_file_release(file);
      found = FILE_MISSING;
    }
    if (found == FILE_MISSING) w->path = folder;
    if (found == FILE_MISSING) return list(w);
    if (found != FILE_ANSWERED) return found;
  } else {
    enum file_result found = find(w, w->path, &file);
    if (found != FILE_ANSWERED) return found;
    if (file->is_folder) {
      open_file_release(file);
      return redirect(w);
    }
  }
  if (!w->root->no_precoded && !is_packed(type_of(w->root, w->path))) return answer_coded(w, file);
  answer(w, file, CODING_IDENTITY, false);
  return FILE_ANSWERED;
}

/* --- the call --------------------------------------------------------------------------------------------- */

static enum file_result serve(struct wanted *w) {
  struct exchange *x = w->x;
  struct str target = x->request.target;
  struct file_path path;
  if (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD) return FILE_METHOD;
  if (w->f->tries++ > ROUNDS_MOST) return FILE_BUSY;
  if (w->root->strip.len) {
    if (!str_starts_with(target, w->root->strip)) return FILE_MISSING;
    target = str_from(target, w->root->strip.len);
  }
  if (!file_path_read(target, &x->arena, &path)) return FILE_MISSING;
  if (path.is_hidden && !w->root->shows_hidden) return FILE_MISSING;
  w->path = path.path;
  return serve_path(w, path.is_folder);
}

enum file_result file_serve(struct exchange *x, const struct file_root *root, void (*wake)(void *owner),
                            void *owner) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  struct rare *rare = exchange_rare(x);
  if (!rare->file) rare->file = arena_zalloc(&x->arena, sizeof *rare->file);
  struct wanted w = {.x = x, .f = rare->file, .root = root};
  w.f->exchange = x;
  w.f->wake = wake;
  w.f->owner = owner;
  w.f->result = serve(&w);
  return w.f->result;
}
