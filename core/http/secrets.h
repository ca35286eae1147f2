// SPDX-License-Identifier: Apache-2.0
// secrets: what of a message is not to be shown or kept: credentials, cookies, tokens. The one rule for whatever
// prints or stores messages that were not written for it. It goes by names, and is rather too strict: what
// is wrongly hidden is missed, what is wrongly shown cannot be taken back.
//
// Hidden are the values of fields and of parameters of a query whose name has a word such as token, secret, password,
// session, auth, key; of cookies; users in URLs. Names stay, and so does the scheme of Authorization.
#ifndef PERILUNE_HTTP_SECRETS_H
#define PERILUNE_HTTP_SECRETS_H

#include "base/buf.h"
#include "base/str.h"

/* What stands in the place of a secret. With a key that nobody keeps, equal secrets have equal marks, which tell
 * nothing else: "redacted-5f2c9a01d3b7e684"; with key 0 it is "[redacted]". */
struct secrets {
  uint64_t key;
};

/* Is its value a secret? "Cookie", "X-Api-Key". */
bool secrets_is_field(struct str name);

/* May secrets_put_value change a value of it? */
bool secrets_may_be_of(struct str name);

/* Appends the value of a field of that name, or the target of a request (or any URL), without its secrets. */
void secrets_put_value(const struct secrets *secrets, struct buf *out, struct str name, struct str value);
void secrets_put_target(const struct secrets *secrets, struct buf *out, struct str target);
/* May there be one in it? Where there is no query, no fragment and no name before a host, secrets_put_target leaves all
 * as it is. */
bool secrets_may_be_in(struct str target);

#endif
