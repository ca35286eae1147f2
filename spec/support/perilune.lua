-- SPDX-License-Identifier: Apache-2.0
-- perilune: in these specs, which no VM of the proxy runs, the name is that of the program that they start.
return require "perilune.test.proxy"
