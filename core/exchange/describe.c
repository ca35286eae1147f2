// SPDX-License-Identifier: Apache-2.0
// describe: parts are shortened to fit into a line; parts of the request that were not read are left out.
#include "exchange/describe.h"

#include <stdio.h>

#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/trace.h"

enum { METHOD_BYTES = 20, PATH_BYTES = 164 };

static void find_id(struct exchange *x, char id[REQUEST_ID_BYTES]) {
  const struct field *field = headers_find(&x->request.headers, STR("X-Request-Id"));
  id[0] = '\0';
  if (x->hooks && x->hooks->read_id) x->hooks->read_id(x, id);
  if (!id[0] && field) str_fit(id, REQUEST_ID_BYTES, field->value);
}

/* ", trace 32 digits" */
enum { TRACE_NOTE = sizeof ", trace " + TRACE_ID_TEXT };

static const char *note_trace(const struct exchange *x, char note[TRACE_NOTE]) {
  note[0] = '\0';
  if (!x->account.trace) return note;
  memcpy(note, ", trace ", TRACE_NOTE - TRACE_ID_TEXT - 1);
  trace_write_id(x->account.trace, note + TRACE_NOTE - TRACE_ID_TEXT - 1);
  note[TRACE_NOTE - 1] = '\0';
  return note;
}

const char *exchange_describe(struct exchange *x, char room[DESCRIBE_BYTES]) {
  char id[REQUEST_ID_BYTES], method[METHOD_BYTES], path[PATH_BYTES], trace[TRACE_NOTE];
  const struct request *request = &x->request;
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  find_id(x, id);
  str_fit(method, sizeof method, request->method_name);
  str_fit(path, sizeof path, (struct str){request->target.ptr, str_find(request->target, '?')});
  snprintf(room, DESCRIBE_BYTES, " (%s%s%s%sclient %.*s%s%s%s)", method, path[0] ? " " : "", path,
           method[0] ? " of " : "a malformed request of ", STR_ARG(exchange_client_address(x)),
           id[0] ? ", request id " : "", id, note_trace(x, trace));
  return room;
}
