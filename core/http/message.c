// SPDX-License-Identifier: Apache-2.0
// message: the names of methods and statuses.
#include "http/message.h"

/* Methods are case-sensitive (RFC 9110 section 9.1): "get" is another method than "GET". */
static inline enum method if_equal(struct str name, struct str wanted, enum method method) {
  return str_equal(name, wanted) ? method : METHOD_OTHER;
}

enum method method_of(struct str name) {
  if (name.len < 3) return METHOD_OTHER;
  switch (name.ptr[0]) {
  case 'G': return if_equal(name, STR("GET"), METHOD_GET);
  case 'H': return if_equal(name, STR("HEAD"), METHOD_HEAD);
  case 'D': return if_equal(name, STR("DELETE"), METHOD_DELETE);
  case 'C': return if_equal(name, STR("CONNECT"), METHOD_CONNECT);
  case 'O': return if_equal(name, STR("OPTIONS"), METHOD_OPTIONS);
  case 'T': return if_equal(name, STR("TRACE"), METHOD_TRACE);
  case 'P':
    if (name.ptr[1] == 'O') return if_equal(name, STR("POST"), METHOD_POST);
    if (name.ptr[1] == 'U') return if_equal(name, STR("PUT"), METHOD_PUT);
    return if_equal(name, STR("PATCH"), METHOD_PATCH);
  }
  return METHOD_OTHER;
}

#define REASON(status, text)                                                                                 \
  case status: return STR(text);

static struct str reason_of_success(unsigned status) {
  switch (status) {
    REASON(100, "Continue")
    REASON(101, "Switching Protocols")
    REASON(102, "Processing")
    REASON(103, "Early Hints")
    REASON(200, "OK")
    REASON(201, "Created")
    REASON(202, "Accepted")
    REASON(203, "Non-Authoritative Information")
    REASON(204, "No Content")
    REASON(205, "Reset Content")
    REASON(206, "Partial Content")
    REASON(207, "Multi-Status")
    REASON(208, "Already Reported")
    REASON(226, "IM Used")
    REASON(300, "Multiple Choices")
    REASON(301, "Moved Permanently")
    REASON(302, "Found")
    REASON(303, "See Other")
    REASON(304, "Not Modified")
    REASON(305, "Use Proxy")
    REASON(307, "Temporary Redirect")
    REASON(308, "Permanent Redirect")
  }
  return STR("");
}

static struct str reason_of_fault(unsigned status) {
  switch (status) {
    REASON(400, "Bad Request")
    REASON(401, "Unauthorized")
    REASON(402, "Payment Required")
    REASON(403, "Forbidden")
    REASON(404, "Not Found")
    REASON(405, "Method Not Allowed")
    REASON(406, "Not Acceptable")
    REASON(407, "Proxy Authentication Required")
    REASON(408, "Request Timeout")
    REASON(409, "Conflict")
    REASON(410, "Gone")
    REASON(411, "Length Required")
    REASON(412, "Precondition Failed")
    REASON(413, "Content Too Large")
    REASON(414, "URI Too Long")
    REASON(415, "Unsupported Media Type")
    REASON(416, "Range Not Satisfiable")
    REASON(417, "Expectation Failed")
    REASON(421, "Misdirected Request")
    REASON(422, "Unprocessable Content")
    REASON(423, "Locked")
    REASON(424, "Failed Dependency")
    REASON(425, "Too Early")
    REASON(426, "Upgrade Required")
    REASON(428, "Precondition Required")
    REASON(429, "Too Many Requests")
    REASON(431, "Request Header Fields Too Large")
    REASON(451, "Unavailable For Legal Reasons")
  }
  return STR("");
}

static struct str reason_of_failure(unsigned status) {
  switch (status) {
    REASON(500, "Internal Server Error")
    REASON(501, "Not Implemented")
    REASON(502, "Bad Gateway")
    REASON(503, "Service Unavailable")
    REASON(504, "Gateway Timeout")
    REASON(505, "HTTP Version Not Supported")
    REASON(506, "Variant Also Negotiates")
    REASON(507, "Insufficient Storage")
    REASON(508, "Loop Detected")
    REASON(510, "Not Extended")
    REASON(511, "Network Authentication Required")
  }
  return STR("");
}

struct str status_reason(unsigned status) {
  if (status < 400) return reason_of_success(status);
  return status < 500 ? reason_of_fault(status) : reason_of_failure(status);
}
