// SPDX-License-Identifier: Apache-2.0
// conditions: one function for each field, and two orders in which they are evaluated.
#include "http/conditions.h"

#include "http/freshness.h"
#include "http/http_date.h"
#include "http/members.h"

void validators_of(struct validators *v, const struct headers *response, int64_t received) {
  *v = (struct validators){.etag = etag_of(response), .date = received};
  date_of(response, STR("Date"), received, &v->date);
  v->has_modified = date_of(response, STR("Last-Modified"), received, &v->modified);
  if (!v->has_modified) v->modified = v->date;
}

static bool is_successful(unsigned status) { return status >= 200 && status < 300; }

/* Section 13.1.3: not with If-None-Match, and not for other methods; what is no date is ignored. */
static bool is_unmodified_since(const struct request *request, const struct validators *v, int64_t now) {
  int64_t since;
  return method_is_read(request->method) &&
         date_of(&request->headers, STR("If-Modified-Since"), now, &since) && v->modified <= since;
}

/* Both orders end with these two. */
static enum condition ask_reads(const struct request *request, const struct validators *v, int64_t now) {
  if (headers_find(&request->headers, STR("If-None-Match"))) {
    if (!etag_is_listed(&request->headers, STR("If-None-Match"), v->etag, false)) return CONDITION_NONE;
    return method_is_read(request->method) ? CONDITION_NOT_MODIFIED : CONDITION_FAILED;
  }
  return is_unmodified_since(request, v, now) ? CONDITION_NOT_MODIFIED : CONDITION_NONE;
}

enum condition condition_for_cache(const struct request *request, unsigned status, const struct validators *v,
                                   int64_t now) {
  const struct headers *h = &request->headers;
  if (!method_is_read(request->method) || headers_find(h, STR("If-Match")) ||
      headers_find(h, STR("If-Unmodified-Since")))
    return CONDITION_FORWARD;
  return is_successful(status) ? ask_reads(request, v, now) : CONDITION_NONE;
}

/* Section 13.1.4: only where there is a Last-Modified. */
static bool is_modified_since(const struct request *request, const struct validators *v, int64_t now) {
  int64_t since;
  return v->has_modified && date_of(&request->headers, STR("If-Unmodified-Since"), now, &since) &&
         v->modified > since;
}

enum condition condition_for_origin(const struct request *request, unsigned status,
                                    const struct validators *v, int64_t now) {
  const struct headers *h = &request->headers;
  if (!is_successful(status)) return CONDITION_NONE;
  bool has_match = headers_find(h, STR("If-Match")) != NULL;
  if (has_match && !etag_is_listed(h, STR("If-Match"), v->etag, true)) return CONDITION_FAILED;
  if (!has_match && is_modified_since(request, v, now)) return CONDITION_FAILED;
  return ask_reads(request, v, now);
}

/* A date is strong only if the response was made at least a second after it (section 8.8.2.2), and must be the same. */
bool condition_if_range(const struct headers *request, const struct validators *v, int64_t now) {
  struct str value = field_alone(request, STR("If-Range"));
  struct etag tag;
  int64_t when;
  if (!headers_find(request, STR("If-Range"))) return true;
  if (http_date_parse(value, now, &when))
    return v->has_modified && v->modified == when && v->date > v->modified;
  return etag_take(&value, &tag) && !value.len && etag_equal(tag, v->etag, true);
}

static const struct str of_conditions[] = {STR_INIT("If-Match"),          STR_INIT("If-None-Match"),
                                           STR_INIT("If-Modified-Since"), STR_INIT("If-Unmodified-Since"),
                                           STR_INIT("If-Range"),          STR_INIT("Range")};

void condition_strip(struct headers *request) {
  for (size_t i = 0; i < sizeof of_conditions / sizeof *of_conditions; i++)
    headers_remove(request, of_conditions[i]);
}

/* Field values go as they came: an origin knows its own tags, also odd ones. */
void condition_ask(struct headers *request, const struct headers *stored) {
  struct str tag = field_alone(stored, STR("ETag")), modified = field_alone(stored, STR("Last-Modified"));
  condition_strip(request);
  if (tag.len) headers_add(request, STR("If-None-Match"), tag);
  if (modified.len) headers_add(request, STR("If-Modified-Since"), modified);
}

static bool is_of_content(const struct field *field) {
  static const struct str of_content[] = {
      STR_INIT("Content-Length"),   STR_INIT("Content-Type"),     STR_INIT("Content-Encoding"),
      STR_INIT("Content-Language"), STR_INIT("Content-Range"),    STR_INIT("Content-MD5"),
      STR_INIT("Content-Digest"),   STR_INIT("Repr-Digest"),      STR_INIT("Digest"),
      STR_INIT("Trailer"),          STR_INIT("Transfer-Encoding")};
  for (size_t i = 0; i < sizeof of_content / sizeof *of_content; i++)
    if (str_equal_nocase(field->name, of_content[i])) return true;
  return false;
}

void condition_leave_out(struct headers *response) {
  unsigned kept = 0;
  for (unsigned i = 0; i < response->count; i++)
    if (!is_of_content(&response->items[i])) response->items[kept++] = response->items[i];
  response->count = kept;
}
