// SPDX-License-Identifier: Apache-2.0
// Units for http/message: methods and reasons.
#include "http/message.h"

#include "unit.h"

IT("knows its methods by their exact names (RFC 9110 section 9.1)") {
  CHECK(method_of(STR("GET")) == METHOD_GET);
  CHECK(method_of(STR("HEAD")) == METHOD_HEAD);
  CHECK(method_of(STR("POST")) == METHOD_POST);
  CHECK(method_of(STR("PUT")) == METHOD_PUT);
  CHECK(method_of(STR("DELETE")) == METHOD_DELETE);
  CHECK(method_of(STR("CONNECT")) == METHOD_CONNECT);
  CHECK(method_of(STR("OPTIONS")) == METHOD_OPTIONS);
  CHECK(method_of(STR("TRACE")) == METHOD_TRACE);
  CHECK(method_of(STR("PATCH")) == METHOD_PATCH);
  CHECK(method_of(STR("get")) == METHOD_OTHER);
  CHECK(method_of(STR("GETS")) == METHOD_OTHER);
  CHECK(method_of(STR("P")) == METHOD_OTHER);
  CHECK(method_of(STR("")) == METHOD_OTHER);
}

IT("calls exactly the methods idempotent that RFC 9110 section 9.2.2 does") {
  CHECK(method_is_idempotent(METHOD_GET) && method_is_idempotent(METHOD_HEAD));
  CHECK(method_is_idempotent(METHOD_PUT) && method_is_idempotent(METHOD_DELETE));
  CHECK(method_is_idempotent(METHOD_OPTIONS) && method_is_idempotent(METHOD_TRACE));
  CHECK(!method_is_idempotent(METHOD_POST) && !method_is_idempotent(METHOD_PATCH));
  CHECK(!method_is_idempotent(METHOD_CONNECT) && !method_is_idempotent(METHOD_OTHER));
}

IT("has the standard reasons, and none for an unknown status (RFC 9110 section 15)") {
  CHECK_STR(status_reason(100), "Continue");
  CHECK_STR(status_reason(200), "OK");
  CHECK_STR(status_reason(399), "");
  CHECK_STR(status_reason(404), "Not Found");
  CHECK_STR(status_reason(413), "Content Too Large");
  CHECK_STR(status_reason(502), "Bad Gateway");
  CHECK_STR(status_reason(599), "");
  CHECK_STR(status_reason(0), "");
}
