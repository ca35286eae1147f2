---@meta
-- SPDX-License-Identifier: Apache-2.0
-- types_data: data that a policy looks things up in: large tables, files, results that are kept. See types.lua.

--- ---------------------------------------------------------------------------------------------------------------
--- Data: large tables, files, and results that are shared
---
---     local perilune = require "perilune"
---     local countries = perilune.table("countries", "countries.csv", { keys = "network", key = "network", value = "country" })
---     local settings  = assert(perilune.yaml.read "settings.yaml")
---
---     function policy.request_filter(session, ctx)
---       ctx.country = countries:get(session:client_ip())
---     end
---
--- A relative name is relative to the policy. A file that is read by perilune.table, yaml.read or json.read is a file of
--- the policy, as its modules are: with `--watch`, a change of it is a reload; without, `perilune reload` reads it again.

---@class perilune.table_options
---@field keys? "text"|"network"|"prefix" what get() finds: the key itself; of addresses, the smallest network that has it; the
---longest key that the text begins with, such as a path; "text"
---@field size? integer|string bytes of memory that the table may take; "256M"
---@field key? string|integer of a file: the column of the keys, by its name or its number; 1
---@field value? string|integer of a file: the column of the values; without it, a value is the whole row, as a table of texts
---@field names? boolean of a file: the first row has the names of the columns; true
---@field separator? string of a file: the character between two columns; ","

--- A large table that is loaded once, in memory outside of Lua, and read by all workers. Only in the main chunk: the first
--- worker that loads it fills it, the others wait for that and use the same one. A reload loads it again, beside the one
--- in use, which ends with the policy before; if the reload is refused, nothing has changed. A file that is still the same is
--- not loaded again. What is wrong with a row is an error that names the file and the line, and the policy is not loaded.
---
--- Values of a function are strings, numbers, booleans and tables; a table is kept as JSON, and made anew by each get(). A
--- key that comes twice has its last value. Keys of "network" are like "10.0.0.0/8" or "2001:db8::/32", of IPv4 and IPv6
--- together; of "prefix" they have at most 1024 bytes.
---@param name string which all workers find it by
---@param loader string|fun(add: fun(key: string|number, value: string|number|boolean|table)) a file of rows (RFC 4180, in
---UTF-8), or a function that adds what is in the table
---@param options? perilune.table_options
---@return perilune.table
function perilune.table(name, loader, options) end

---@class perilune.table
local big_table = {}
--- Takes less than a microsecond, however large the table is; with "network" and "prefix" some more for each length of key
--- that there is. An address may have a port, as session:client_address gives it.
---@param key string|number
---@return any value, string? match nil: there is none; of "network" and "prefix", the key that was found
function big_table:get(key) end
---@return integer count of keys
function big_table:count() end
---@return integer bytes of memory
function big_table:bytes() end

--- Calls fn and returns what it returns. While it runs, others in this worker who ask for the same key do not call it, but
--- wait for the same results; an error that it raises is raised in all of them. It goes on even if the exchanges end that
--- want its results. Nothing is kept: see perilune.memo.
---@param key string|number
---@param fn fun(): ... it may wait
---@param timeout? perilune.duration most that a call waits; 30. Then it returns nil and "timeout", and the next one calls fn again
---@return ... results of fn; a table is the same for all: do not change it
function perilune.single_flight(key, fn, timeout) end

--- A function that remembers what `fn` has given, for all workers: `local keys = perilune.memo("keys", "5m", fetch)`, then
--- `local value, why = keys()`, or `keys "name"`, which calls fn("name"). One task of the process calls fn for a key, the
--- others wait for that. If fn fails (raises, or returns nil and why), the value that was there last is given, with the
--- reason as the second result, for an hour at most; and fn is asked again after a second. Memory is bounded.
---@param name string which all workers find it by
---@param ttl perilune.duration|perilune.shared_dict_options how long a value is fresh; or a table, with `ttl`, `stale`, `retry`,
---`negative_ttl`, `timeout`, `size` and `keys` of perilune.shared_dict
---@param fn fun(key: string?): any, any gives a string, number, boolean or table, and if it likes a time to live in seconds; nil:
---there is none; nil and why: it failed. It may wait
---@return fun(key: string|number|nil): any, string?
function perilune.memo(name, ttl, fn) end

--- Calls fn(path) whenever the file has changed, has appeared or has gone, within about a second; in the control worker and
--- in all workers, as each has values of its own. Only in the main chunk. It is not called for the file as it is at the
--- start. An error is logged, and the file is watched on. A file that is written in place may be read half written: write
--- another one, and rename it.
---@param path string
---@param fn fun(path: string)
---@return perilune.job
function perilune.watch(path, fn) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.yaml: YAML 1.2 as values (libyaml)

---@class perilune.yaml
---@field null userdata stands for null, as in perilune.json
local yaml = {}
--- Plain scalars follow the core schema: `yes` and `on` are texts, `true` is a boolean, `0x1F` and `1e3` are numbers. Anchors,
--- aliases and `<<` are known; an alias is the same table again. One document, at most 4 MiB, 100 levels, and a million
--- values counted through all aliases. Sequences are marked as arrays for json.encode.
---@param text string
---@return any value, string? message nil and where and why: "line 3, column 5: a key that is there twice"
function yaml.decode(text) end
---@param path string of a file of at most 4 MiB, relative to the policy; it is a file of the policy, see --watch
---@return any value, string? message
function yaml.read(path) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.files: files of a folder as answers
---
---     perilune.listen(":8080", perilune.files { root = "/srv/www" })          -- nothing but files
---
---     local files = perilune.files { root = "static", strip = "/static" }     -- one answer of many
---     function policy.request_filter(session)
---       if session:path():find "^/static/" then return files(session) end
---     end
---
--- `perilune files DIR --listen :8080` does the first without a policy.
---
--- What perilune.files returns is a table of hooks, so further hooks are set in it: `function files.logging(session) ... end`.
--- A function of any other name is refused by perilune.listen, as in each policy.
---
--- GET and HEAD, others get 405. Ranges, also several, and conditional requests (RFC 9110, 13 and 14), with a strong ETag of
--- the file's time and length. A folder without its slash is sent to the one with it (301). Of `app.js.zst`, `app.js.br`
--- and `app.js.gz` beside `app.js`, the client gets the one that it likes best, as long as it is not older than `app.js`;
--- without these, `compress = true` of the listener compresses on the way.
---
--- Nothing outside of the root is served: a path with ".." is not there (404), and a symbolic link that leads outside
--- neither, nor one that is absolute. Others are followed. (The kernel sees to that, by openat2(2). Where it or a sandbox does not have that call, links below the root are
--- not followed at all, and the log says so once.) The root itself may be a link that is exchanged: it is looked at anew each
--- time. Names that begin with a dot are not served or listed. Devices, sockets and pipes are not there.
---
--- No worker waits for a disk: what the kernel does not have in memory, a few other threads read. Plain HTTP/1.1 is sent by
--- sendfile(2). A worker keeps up to 512 files open, and believes for a second what it has seen, so a new version of a file is
--- served after a second at the latest. Replace files by renaming: a file that is written in place while it is sent ends
--- its response short, so that the client does not take it for whole.
---@class perilune.files_options
---@field root string the folder, relative to the policy
---@field index? string|false the file that stands for its folder; "index.html"
---@field listing? boolean list folders without an index, at most 10,000 names; false
---@field hidden? boolean serve names that begin with a dot; false
---@field precompressed? boolean look for files that are compressed already; true
---@field strip? string what is in front of the paths of requests, "/static": /static/a.js is the file a.js. Other paths are not there
---@field cache_control? string Cache-Control of each file
---@field types? table<string, string> Content-Type by the end of the name, before the usual ones: { wasm = "application/wasm" }
---@field fallthrough? boolean what is not there, and methods other than GET and HEAD, are not answered: the function returns nil,
---and the walk goes on; false: 404 and 405
---@field answer? perilune.refusal_answer what a client gets with 403, 404, 405 and 503; "text"

--- A policy for perilune.listen, and a function of a session: true if it has answered.
---@param options perilune.files_options
---@return perilune.policy|fun(session: perilune.session): true?
function perilune.files(options) end
