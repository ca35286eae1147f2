// SPDX-License-Identifier: Apache-2.0
// h2_ids: what is known of a stream that is over.
#include "http/h2_ids.h"

#include "unit.h"

IT("tells ids that were opened, skipped and reset, and those that are to come") {
  struct h2_ids ids = {0};
  h2_ids_open(&ids, 1);
  h2_ids_open(&ids, 7);
  h2_ids_note_reset(&ids, 1);
  h2_ids_note_reset(&ids, 9);
  CHECK(h2_ids_state(&ids, 1) == H2_ID_RESET && h2_ids_state(&ids, 7) == H2_ID_OPENED);
  CHECK(h2_ids_state(&ids, 3) == H2_ID_NEVER && h2_ids_state(&ids, 5) == H2_ID_NEVER);
  CHECK(h2_ids_state(&ids, 9) == H2_ID_NEW);
}

IT("forgets the oldest, and what was there before in their places") {
  struct h2_ids ids = {0};
  for (int32_t id = 1; id < 3 * 2 * H2_IDS_KEPT; id += 2) {
    h2_ids_open(&ids, id);
    h2_ids_note_reset(&ids, id);
  }
  CHECK(h2_ids_state(&ids, 1) == H2_ID_OLD);
  int32_t far = 1000001;
  h2_ids_open(&ids, far);
  CHECK(h2_ids_state(&ids, far) == H2_ID_OPENED && h2_ids_state(&ids, far - 2) == H2_ID_NEVER);
  CHECK(h2_ids_state(&ids, far - 2 * H2_IDS_KEPT + 2) == H2_ID_NEVER);
  CHECK(h2_ids_state(&ids, far - 2 * H2_IDS_KEPT) == H2_ID_OLD);
}

IT("goes up to the last of all ids") {
  struct h2_ids ids = {0};
  h2_ids_open(&ids, INT32_MAX - 2);
  h2_ids_open(&ids, INT32_MAX);
  CHECK(h2_ids_state(&ids, INT32_MAX - 2) == H2_ID_OPENED && h2_ids_state(&ids, INT32_MAX) == H2_ID_OPENED);
}
