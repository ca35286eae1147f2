-- SPDX-License-Identifier: Apache-2.0
std = "luajit"
max_line_length = 120
files["spec"] = { std = "luajit+busted" }
files["lua/perilune/types*.lua"] = { ignore = { "." } }
exclude_files = { "build" }
