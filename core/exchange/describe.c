// SPDX-License-Identifier: Apache-2.0
// describe: parts are shortened to fit into a line; parts of the request that were not read are left out.
#include "exchange/describe.h"

#include <stdio.h>

#include "base/check.h"
#include "exchange/exchange.h"

enum { METHOD_MOST = 16, PATH_MOST = 160 };

static int shortened(struct str text, int most) { return text.len > (size_t)most ? most : (int)text.len; }

static void find_id(struct exchange *x, char id[REQUEST_ID_BYTES]) {
  const struct field *field = headers_find(&x->request.headers, STR("X-Request-Id"));
  id[0] = '\0';
  if (x->hooks && x->hooks->read_id) x->hooks->read_id(x, id);
  if (!id[0] && field)
    snprintf(id, REQUEST_ID_BYTES, "%.*s", shortened(field->value, REQUEST_ID_BYTES - 1), field->value.ptr);
}

const char *exchange_describe(struct exchange *x, char room[DESCRIBE_BYTES]) {
  char id[REQUEST_ID_BYTES];
  const struct request *request = &x->request;
  struct str path = {request->target.ptr, str_find(request->target, '?')};
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  find_id(x, id);
  snprintf(room, DESCRIBE_BYTES, " (%.*s%s%.*s%sclient %.*s%s%s)",
           shortened(request->method_name, METHOD_MOST), request->method_name.ptr, path.len ? " " : "",
           shortened(path, PATH_MOST), path.ptr,
           request->method_name.len ? " of " : "a malformed request of ", STR_ARG(exchange_client_address(x)),
           id[0] ? ", request id " : "", id);
  return room;
}
