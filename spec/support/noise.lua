-- SPDX-License-Identifier: Apache-2.0
-- noise: a text of so many bytes, not compressible into a pattern: a block that is moved, doubled or lost changes it.
return function(bytes)
  local state, words = 1, {}
  for i = 1, 65536 / 8 do
    state = (state * 1103515245 + 12345) % 2147483648
    words[i] = ("%08x"):format(state)
  end
  local block, parts = table.concat(words), {}
  for i = 1, math.ceil(bytes / (#block + 8)) do parts[i] = ("%08d"):format(i) .. block end
  return table.concat(parts):sub(1, bytes)
end
