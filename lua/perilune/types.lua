-- SPDX-License-Identifier: Apache-2.0
-- The whole API as LuaCATS annotations, for editors and for the reference that is made from it. Not loaded at run time.
-- Times are seconds, sizes are bytes. Functions that can fail return nil and a message; misuse raises.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- perilune: what to serve, and background work
---
--- ```lua
--- local perilune = require "perilune"
--- local policy = {}
--- function policy.upstream_peer() return "127.0.0.1:8000" end
--- perilune.listen("127.0.0.1:8080", policy)
--- ```
---
--- All libraries of LuaJIT work, except for the following, which raise an error, because they could end or crash the
--- process: bytecode (in load, loadstring, loadfile, dofile, require, and as a policy), os.exit, os.setlocale,
--- debug.sethook, debug.getregistry, debug.setlocal, whatever in debug changes C functions or userdata, and jit.profile.
--- os.execute and io.popen block their worker. ffi and package.loadlib call C: a policy that uses them can crash the
--- process.

--- **Where modules and files are found.**
---
--- | what | where |
--- |---|---|
--- | `require "perilune.x"` | Perilune's own modules |
--- | `require "gateway.config"` | `gateway/config.lua` or `gateway/config/init.lua` in the folder of the script, then package.path |
--- | `dofile "sides.lua"`, `loadfile` | in the folder of the script; an absolute path stays as it is |
--- | options that name a file (certificates, logs, `ca`, discovery.file, `token_file`) | in the folder of the script |
--- | `io.open` | in the working directory of the process |
---
--- `--watch` reloads when the script, a module, a file read by dofile or loadfile, or a certificate changes; a file that
--- the policy reads with io.open is not watched. Except for io.open, only regular files are read: a FIFO or a device,
--- which could block a worker, is an error. So is a script of more than 64 MiB, any other file of more than 4 MiB, and
--- loadfile without a name, which would read the standard input. In `perilune test`, dofile and loadfile take names
--- relative to the working directory.
---
--- A name that Perilune does not have raises an error that suggests the right one: `perilune.slep`,
--- `session:get_heder`, `session.user`. To test whether a name exists, use rawget.
---
--- **What `perilune check` finds.** It loads the policy, and then looks at the code of its hooks and at the values that
--- they hold, without running them. Faults always fail when a request comes that way; a warning may be meant. A start and
--- a reload log both as warnings.
---
--- - Globals, library functions (`string.gsbu`, `session:path():uper()`) and members of modules that do not exist.
--- - Methods and fields that a session, request, response, peer or error does not have (`peer.adress`), and a dot where a
---   colon belongs, or the other way round.
--- - Constants that are always refused: options of the wrong type or out of range, fields that must not be set, patterns
---   and addresses that are malformed, fields of session:respond and of peers that do not exist.
--- - Results that a hook must not have, such as `return 403` in request_filter. (Write session:respond.)
--- - Hooks that may end without an answer or a peer, and body filters that may end without a result, which drops the
---   piece. To drop a piece on purpose, write `return nil`.
--- - Times that were probably meant as milliseconds (`timeout = 5000`), and health checks whose timeout is longer than
---   their interval.
--- - Sets without backends.

---@class perilune
---@field log perilune.log
---@field json perilune.json this and the modules below are loaded when they are first used
---@field base64 perilune.base64
---@field crypto perilune.crypto
---@field acme perilune.acme
---@field url perilune.url
---@field cookie perilune.cookie
---@field date perilune.date
---@field cidr perilune.cidr
---@field regex perilune.regex
---@field tcp perilune.tcp
---@field udp perilune.udp
---@field ngx perilune.ngx
---@field http perilune.http
---@field dns perilune.dns
---@field redis perilune.redis
local perilune = {}

--- Serves `hooks` on an address: "0.0.0.0:6188", ":80" (every IPv4 and IPv6 address), "[::1]:80", "localhost:80" (which
--- is 127.0.0.1), "unix:/path"; port 0 takes a free one. Only in the policy's main chunk. The hooks need upstream_peer, or
--- a request_filter that answers every request.
---@param address string
---@param hooks perilune.hooks
---@param options? perilune.listen_options
function perilune.listen(address, hooks, options) end

--- Waits without blocking anything else. In hooks and in background work.
---@param seconds perilune.duration 0 or more
function perilune.sleep(seconds) end

--- Runs a function as a task, while the calling code goes on. In a hook, the task starts when the hook first waits, and
--- is stopped when the exchange ends; use perilune.after for work that must outlive it. In background work it is the
--- same, without an exchange. In the main chunk, the function runs once, in the control worker, without arguments, as
--- soon as all listeners are open. An error ends the task; perilune.wait raises it again, and if nobody waits, it is
--- logged. A worker runs at most 20,000 tasks at once.
---@param fn function
---@param ... any arguments of the function
---@return perilune.task
function perilune.spawn(fn, ...) end

--- Waits until all tasks have ended. Returns all results of one task, or the first result of each of several. If one of
--- them has raised an error, raises it here. With { timeout = seconds } as the last argument, returns nil and "timeout"
--- when the time is over.
---
--- ```lua
--- function policy.request_filter(session, ctx)
---   local user = perilune.spawn(perilune.http.get, "http://127.0.0.1:8001/user")
---   local plan = perilune.spawn(perilune.http.get, "http://127.0.0.1:8001/plan", { timeout = 0.5 })
---   ctx.user, ctx.plan = perilune.wait(user, plan)
---   if not ctx.user then return session:respond { status = 503 } end
--- end
--- ```
---@param ... perilune.task|{ timeout: number }
---@return any ...
function perilune.wait(...) end

--- Waits until one of the tasks has ended. Returns its position and its results. Errors and timeout: as perilune.wait.
---@param ... perilune.task|{ timeout: number }
---@return integer? position, any ...
function perilune.wait_any(...) end

---@class perilune.task
local task = {}
--- Ends the task at the place where it waits.
function task:stop() end
---@return "running"|"returned"|"failed"|"stopped"
function task:status() end

---@class perilune.job
local job = {}
--- No further run begins. A run that has begun goes on to its end.
function job:stop() end

--- Has another policy come into force, or is the proxy stopping? A background loop should end when this is true: the
--- reload or stop waits for it.
---@return boolean
function perilune.is_retired() end

--- Calls a function once, when another policy has come into force or the proxy stops: to send what was gathered, to say
--- goodbye to other systems. In the main chunk it runs in the control worker, with { on = "every worker" } everywhere. The
--- reload or stop waits for it (`drain`, `grace`). In a hook or background work: in that worker; at once, if that has
--- happened already.
---@param fn function
---@param options? perilune.job_options of them, `on`
---@return perilune.job
function perilune.on_retire(fn, options) end

--- What the running code works for: the session, the ctx and the name of the hook (nil in a task that a hook has
--- spawned); nil in background work and in the main chunk. For functions that are not given them.
---@return perilune.session? session, table? ctx, string? hook
function perilune.current() end

--- Places that tasks of this worker take and give back, for what only so many may do at once, or as a signal: with 0
--- places, `wait` waits for a `post`. Who waits is woken in order.
---
--- ```lua
--- local slots = perilune.semaphore(10)                       -- at most ten questions at once, in each worker
--- function policy.request_filter(session)
---   if not slots:wait(0.5) then return session:respond { status = 503 } end
---   local answer = perilune.http.get "http://127.0.0.1:8001/slow"
---   slots:post()
---   if not answer then return session:respond { status = 502 } end
--- end
--- ```
---@param places? integer free at first; 0
---@return perilune.semaphore
function perilune.semaphore(places) end

---@class perilune.semaphore
local semaphore = {}
--- Takes a place, or waits for one.
---@param seconds? number at most; 0: not at all; without it: for ever
---@return true?, string? message "timeout"
function semaphore:wait(seconds) end
--- Gives places.
---@param places? integer 1
function semaphore:post(places) end
---@return integer count of free places; -3: three tasks wait
function semaphore:count() end

---@class perilune.job_options
---@field on? "control"|"every worker" only in the main chunk, where it runs. "control" (default): in the control worker only; "every worker": in the control worker and in all workers
---@field immediately? boolean of perilune.every: the first run begins at once

--- Runs a function in the background, `seconds` later. In the main chunk: counted from when everything listens, in the
--- control worker or on every worker. In a hook: in its worker. It belongs to no exchange. An error is logged.
---
--- When the policy is replaced or the proxy stops, functions that have begun, and those that are due at once (0), may go
--- on to their end: for `drain` seconds at a reload or an upgrade, for `grace` seconds at a stop. After that they are
--- cut off, and the log says how many. A function that is due later is not run at its time: if it takes a parameter, it
--- is called at once, with true; if it takes none, it is dropped, and the log says how many were. perilune.every begins
--- no further run.
---
--- A worker holds at most 20,000 jobs of perilune.after and perilune.every at a time; one more is an error.
---@param seconds perilune.duration 0 or more
---@param fn fun(premature: true?)
---@param options? perilune.job_options
---@return perilune.job
function perilune.after(seconds, fn, options) end

--- Runs a function again and again. The next run is due `seconds` after the last one began, but not before that has
--- ended. An error is logged and does not end the job.
---@param seconds perilune.duration
---@param fn fun()
---@param options? perilune.job_options
---@return perilune.job
function perilune.every(seconds, fn, options) end

--- Seconds since 1970, with fractions.
---@return number
function perilune.time() end

--- Seconds since some point in the past. They never go back: use them to measure durations.
---@return number
function perilune.now() end

--- The same as session:connection_ctx().
---@param session perilune.session
---@return table
function perilune.connection_ctx(session) end

--- The number of this worker, from 0; the control worker has the last.
---@return integer
function perilune.worker() end

--- How many workers serve requests; the control worker is not counted.
---@return integer
function perilune.workers() end

--- Is this the control worker, in which background work of the main chunk runs?
---@return boolean
function perilune.is_control() end

--- How many bytes this worker's VM uses.
---@return number
function perilune.memory_used() end

--- Sets how many bytes each worker's VM may use; the default is 256 MiB. At the limit garbage is collected. Code that
--- still needs more fails with "not enough memory", at its own line. If the policy itself keeps too much, small requests
--- (64 KiB) may use 25 % beyond the limit, and the policy is loaded again. Compiled code may exceed the limit for a
--- moment, until it next enters the collector. Code that exceeds three times the limit plus 32 MiB before that, such as
--- a compiled loop that stores numbers in a table, ends the VM: its requests get 500, and the policy is loaded again, at
--- once the first time, then after growing pauses.
---@param bytes number
function perilune.set_memory_limit(bytes) end

--- A length of time in any option or setting: a number of seconds (0.5), or a text with a unit, as on the command line:
--- "500ms", "30s", "5m", "1h"; also in perilune.sleep, after and every. Other arguments of functions are numbers of seconds.
---@alias perilune.duration number|string

---Settings of the process. An option on the command line overrides the setting. Only in the policy's main chunk. An unknown
---setting or an impossible value raises an error that names the valid ones. `perilune run --print-config SCRIPT` shows
---which settings are in effect, and where each comes from.
---@class perilune.Settings
---@field workers? integer|"auto" worker threads; auto: one for each core
---@field grace? perilune.duration seconds after which a graceful stop ends what is still running (30)
---@field upgrade_grace? perilune.duration seconds after an upgrade within which the old process ends (3600)
---@field drain? perilune.duration seconds that background work of a replaced policy may still take, and after which the log reports exchanges that still use it (30)
---@field reload_timeout? perilune.duration seconds that a reload waits for the workers to load the policy and switch to it; then it says which have not (10)
---@field upgrade_timeout? perilune.duration seconds within which the new process must serve; otherwise the upgrade has failed (60)
---@field low_latency? boolean do not batch under load (by default a busy worker batches events for up to 0.1 ms, which saves 10 % of its CPU time)
---@field watch? boolean reload when a file of the policy changes
---@field repl? boolean let root and the proxy's own user evaluate Lua in its workers: `perilune repl` (false)
---@field daemon? boolean move to the background once the policy serves
---@field pid_file? string file with the process id
---@field socket? string path of the command socket
---@field user? string user to become once the listeners are open
---@field group? string group to become
---@field admin? string loopback address or unix:/path of the status page, /status.json and /metrics; none
---@field admin_public? boolean admin may be an address that others can reach
---@field error_log? string a file, "stderr" or "syslog" ("syslog:/path" of its socket); "stderr"
---@field access_log? string a file, "stdout", "stderr" or "syslog", for all listeners that set none themselves; followed by ":json", lines are JSON
---@field log_level? "debug"|"info"|"warn"|"error"
---@field hook_time? perilune.duration of the policy, not of the process: seconds of CPU time that Lua may run without waiting (1). Then the
---request gets 504. A compiled loop, a finalizer and an error handler cannot be interrupted: they get the same time again
---(at most 1 s); then the VM is given up, the requests that wait in it get 500, and the policy is loaded again. A call
---that blocks (os.execute, io.popen, ffi) can only be reported in the log
---@field load_time? perilune.duration of the policy: seconds of CPU time that its main chunk may take (10).
---Calls that block, or a busy machine, may make it longer by the clock: at most three times as long; or, if it has used
---a third of its CPU time by then, at most 5 seconds longer. Nothing can wait in the main chunk
---@field jit? boolean of the policy: false switches the JIT compiler off, so that every loop can be interrupted
---@field memory_limit? number of the policy: bytes that each of its VMs may use, including the fields, targets and
---answers of current exchanges (256 MiB): see perilune.set_memory_limit

---@param settings perilune.Settings
function perilune.configure(settings) end

--- Traces the requests of all listeners of this policy, and sends spans to an OpenTelemetry collector. In the main chunk,
--- once. docs/tracing.md describes it.
---
--- ```lua
--- perilune.tracing { endpoint = "http://127.0.0.1:4318", service = "edge", ratio = 0.01 }
--- ```
---@param options perilune.tracing_options
function perilune.tracing(options) end

--- ---------------------------------------------------------------------------------------------------------------
--- State that all workers share by name, and that survives a reload. After an upgrade it is empty: dicts, rates and
--- counts begin again in the new process
---
--- ```lua
--- local visits = perilune.dict("visits", { size = 4 * 1024 * 1024 })
--- local busy = perilune.inflight "busy"
--- function policy.request_filter(session)
---   local ip = session:client_ip()
---   if not busy:acquire(session, ip, 10) then return session:respond { status = 429 } end
---   perilune.log.info("visit", { client = ip, count = visits:incr(ip, 1, 0, 3600) }) -- from 0; forgotten after an hour
--- end
--- ```
---
--- Loading a policy changes nothing that is in use, because the policy may still be refused, rolled back (as a canary) or
--- only tried (in the shadow):
---
--- - If a policy asks for an object with another size, interval, limit or other labels, a new object is made. It takes
---   the name when the policy comes into force. Until then a canary's requests use the new object; a shadow only ever
---   uses objects of its own.
--- - The main chunk may read objects that are in use. Its changes to them (dict:set, add, incr, delete and flush,
---   rate:observe, counter:add and set, metrics, set:update and set_enabled of backends) are delayed until the policy is
---   in force. Then each of its VMs makes them: one for each worker, and that of the control worker. The call returns
---   what it would return if nothing else happened. An object that is new with the policy is changed at once.
--- - A set of backends gets the list in the new policy when that comes into force. If the new policy states the same list
---   as before, a list found since by discovery or set:update stays.
--- - Timers, spawned functions, name servers and TLS files come into force with the policy. Functions that wait
---   (perilune.sleep, dns, tcp, http) raise an error while a policy loads: call them in perilune.spawn.

--- There may be 1000 names of each kind (dict, rate, inflight, counter, metric, ...); one more raises an error. Do not make
--- names from what a client sends: use a key or a label for that.

--- A dictionary of bounded size. When it is full, the least recently used entries are removed. A reload with another size
--- makes a new, empty one. It is dropped when no policy in force uses it any more.
---@param name string
---@param options? { size: integer|string } bytes, its own tables included; 65536 to half of the machine's memory; 1048576
---@return perilune.dict
function perilune.dict(name, options) end

--- A dictionary with a source behind it: Redis, a function, or a function behind Redis. What was read is kept in the
--- worker's VM and in a perilune.dict, so that most reads wait for nothing. docs/fleet.md describes the levels.
---
--- ```lua
--- local perilune, redis = require "perilune", require "perilune.redis"
--- local plans = perilune.shared_dict("plans", {
---   store = redis.new "127.0.0.1:6379", ttl = 30,
---   fetch = function(key)                                  -- what is not in Redis, either
---     local answer, why = require("perilune.http").get("http://10.0.0.9/plans/" .. key, { timeout = 1 })
---     if not answer then return nil, why end
---     return answer.status == 200 and answer.body or nil
---   end,
--- })
--- local policy = {}
--- function policy.request_filter(session, ctx)
---   ctx.plan = plans:get(session:get_header "X-Customer" or "none") or "free"
--- end
--- ```
---@param name string
---@param options perilune.shared_dict_options
---@return perilune.shared_dict
function perilune.shared_dict(name, options) end

--- A cache of responses for the option `cache` of perilune.listen. All workers share it, and a reload finds it by its name;
--- a reload with another size makes a new, empty one. What it does, and what it keeps, is in docs/cache.md.
---
--- ```lua
--- local perilune = require "perilune"
--- local policy = { upstream_peer = function() return { address = "127.0.0.1:8000" } end }
---
--- perilune.listen("127.0.0.1:8080", policy, { cache = perilune.cache("pages", { size = "256M" }) })
--- ```
---@param name string
---@param options perilune.cache_options
---@return perilune.cache
function perilune.cache(name, options) end

--- Estimates how often something happens, by key, in windows of `interval` seconds and in fixed memory (two count-min
--- sketches of 4 rows of `slots`: 64 bytes a slot, 64 KiB by default). A count is never too low, but may be too high,
--- because keys share cells. With many more keys than slots, one key in 55 is too high by more than 2.72 / slots of all
--- events in the window: with 1024 slots, by more than 0.27 % of them. Use it to see who sends much. To refuse clients,
--- use rate_limit or perilune.inflight, which are exact.
---@param name string
---@param options? { interval: number, slots: integer } seconds; 1. 1 to 16777216; 1024
---@return perilune.rate
function perilune.rate(name, options) end

--- Counts the current exchanges, by key. The counts are exact. If there are `keys` keys already, an exchange with a new
--- key passes without being counted, which the status page and the metrics report. About 48 bytes a key.
---@param name string
---@param options? { keys: integer } 1 to 67108864, within half of the machine's memory; 65536. A reload with another number starts with empty counts
---@return perilune.inflight
function perilune.inflight(name, options) end

--- A whole number that all workers add to.
---@param name string
---@return perilune.counter
function perilune.counter(name) end

--- Metrics of the policy, shown in /metrics with those of the proxy. All workers share a metric by its name. It survives a
--- reload that declares it again; with other labels or buckets it starts again from zero. Counting takes no lock. A metric
--- counts at most 1000 combinations of label values; further ones are not counted.
---
--- ```lua
--- local orders = perilune.metrics.counter("orders_total", { help = "Orders, by their status.", labels = { "status" } })
--- function policy.logging(session) orders:add(1, session:response_status() or "none") end
--- ```
---@class perilune.metrics
local metrics = {}
---@class perilune.metric_options
---@field help? string what it is, for people
---@field labels? string[] names of labels, 8 at most; their values follow the number in each call

---@param name string not beginning with "perilune_"
---@param options? perilune.metric_options
---@return perilune.metric_counter
function metrics.counter(name, options) end
---@param name string
---@param options? perilune.metric_options
---@return perilune.metric_gauge
function metrics.gauge(name, options) end
---@class perilune.histogram_options: perilune.metric_options
---@field buckets? number[] upper ends, ascending, 32 at most; 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10
---@param name string
---@param options? perilune.histogram_options
---@return perilune.metric_histogram
function metrics.histogram(name, options) end

---@class perilune.metric_counter
local metric_counter = {}
---@param n? number 1; not negative
---@param ... string|number values of the labels
function metric_counter:add(n, ...) end
---@class perilune.metric_gauge
local metric_gauge = {}
---@param n? number 1
---@param ... string|number
function metric_gauge:add(n, ...) end
---@param value number
---@param ... string|number
function metric_gauge:set(value, ...) end
---@class perilune.metric_histogram
local metric_histogram = {}
---@param value number
---@param ... string|number
function metric_histogram:observe(value, ...) end

---@class perilune.cache_options
---@field size integer|string bytes of memory, taken at once, such as "256M": from 1 MiB to half of the machine's memory
---@field path? string of a file that keeps the cache over a restart, however the process ended; absolute. Without it, in memory
---@field max_object? integer|string bytes of the largest body that is kept; a 16th of the size
---@field lock_wait? perilune.duration seconds that a request waits for the response that another one has asked for; 5
---@field uncacheable_ttl? perilune.duration whole seconds for which requests do not wait for each other after a response was refused; 120
---@field max_variants? integer of one URL whose responses vary, the newest are kept; 16, at most 64
---@field ttl? perilune.duration whole seconds that a response without a lifetime of its own is fresh; without it, it has none
---@field status_header? boolean add Cache-Status (RFC 9211) to responses; false
---@field stale_beside_s_maxage? boolean obey stale-while-revalidate and stale-if-error beside s-maxage; false

---@class perilune.cache
local cache = {}
---@return number bytes that it takes
function cache:size() end
--- Forgets the responses to a URL, all that it varies on and what is on its way included.
--- Each purge takes the same short time, whatever it concerns. With the option `soft` responses are not forgotten, but
--- stale from then on: the peer is asked whether they are still good, and what they say of stale use holds.
---@param url string "https://a.example/path?query"
---@param options? { soft?: boolean }
---@return boolean existed there was something under this very URL
function cache:purge(url, options) end
--- Forgets the responses to all URLs that begin so. "https://a.example": all of that host.
---@param prefix string at most 512 characters, with scheme and host: "https://a.example/images/"
---@param options? { soft?: boolean }
function cache:purge_prefix(prefix, options) end
--- Forgets all responses that have the name among their tags: in Surrogate-Key, Cache-Tag or Cache-Groups (RFC 9875), or
--- by response_cache_filter.
---@param name string
---@param options? { soft?: boolean }
function cache:purge_tag(name, options) end
--- Forgets all responses, what is on its way included.
---@param options? { soft?: boolean }
function cache:purge_all(options) end
--- Counts since the cache was made: hits, misses, stale, revalidated, bypasses, collapsed, lock_timeouts, refused, broken,
--- purges, served_bytes; and fills, the responses that are on their way just now.
---@return table<string, number>
function cache:stats() end

---@class perilune.shared_dict_options
---@field store? perilune.redis.client where values are kept for all proxies
---@field fetch? fun(key: string): any, any gives a value and, if it likes, its time to live in seconds; nil: there is none;
--- nil and why: it failed. It may wait
---@field prefix? string of the keys in the store; "pl:dict:NAME:"
---@field ttl? perilune.duration how long a value is fresh; 60
---@field negative_ttl? perilune.duration how long it is remembered that there is none; 5
---@field stale? perilune.duration how long after that a value may be given if the source fails; 3600
---@field retry? perilune.duration after a failure, a key's source is not asked again for so long; 1
---@field timeout? perilune.duration most that a read waits for the source; 5
---@field size? integer|string bytes of the process's dictionary; 1048576
---@field keys? integer keys that a worker's VM keeps as values; 1000

--- Values are strings, numbers, booleans and tables (as JSON says them). A table is shared by all who get it: do not change
--- it. Only one task of the process asks the source for a key; the others wait for that.
---@class perilune.shared_dict
local shared_dict = {}
--- The value, or nil if there is none. If the source fails: the value that was there last, or nil, and why. It waits if
--- the source has to be asked.
---@param key string
---@return any value, string? message
function shared_dict:get(key) end
--- Sets a value in Redis and in this process, for `ttl` seconds. Other proxies see it when theirs is beyond its time.
---@param key string
---@param value string|number|boolean|table
---@param ttl? number seconds; that of the options
---@return true?, string? message, string? kind why Redis does not have it
function shared_dict:set(key, value, ttl) end
--- Deletes a key in Redis and in this process.
---@param key string
---@return true?, string? message, string? kind
function shared_dict:delete(key) end
--- Forgets what this process has, in all its workers. What is in Redis stays.
function shared_dict:flush() end

---@class perilune.dict_options
---@field spare? boolean true: nothing that has not expired is removed to make room; then there may be "no room left"
---@field flags? integer a number of 32 bits of your own that is kept beside the value

---@class perilune.dict
local dict = {}
---@param key string
---@return string|number|boolean|nil value, integer|string|nil flags nil where there is none; nil and a message for a list
function dict:get(key) end
--- The same, also of a value that has expired and is still there: expired values stay until their room is needed.
---@param key string
---@return string|number|boolean|nil value, boolean|string|nil is_stale, integer? flags
function dict:get_stale(key) end
--- Stores a value, for `ttl` seconds or for ever. nil deletes the key.
---@param key string
---@param value string|number|boolean|nil
---@param ttl? number seconds
---@param options? perilune.dict_options
---@return true? done, string? message, true? removed "entry too large" or "no room left": the older value then stays;
--- removed: other values that had not expired were removed to make room
function dict:set(key, value, ttl, options) end
--- Stores a value if the key has none.
---@param key string
---@param value string|number|boolean
---@param ttl? number seconds
---@param options? perilune.dict_options
---@return true? done, string? message, true? removed "key exists", "entry too large", "no room left"
function dict:add(key, value, ttl, options) end
--- Stores a value if the key has one.
---@param key string
---@param value string|number|boolean
---@param ttl? number seconds
---@param options? perilune.dict_options
---@return true? done, string? message, true? removed "no such key", "entry too large", "no room left"
function dict:replace(key, value, ttl, options) end
--- Adds to a number; no other worker comes between. Its time to live does not change.
---@param key string
---@param by? number 1
---@param from? number the value of a missing key; without it, a missing key is an error
---@param ttl? number seconds that a missing key then lives
---@return number? sum, string? message "no such key", "not a number"
function dict:incr(key, by, from, ttl) end
---@param key string
---@return boolean existed
function dict:delete(key) end
---@param key string
---@return number? seconds left; math.huge: for ever; nil where there is none
function dict:ttl(key) end
--- Gives a value another time to live, from now on.
---@param key string
---@param ttl? number seconds; nil: for ever
---@return true? done, string? message "no such key"
function dict:expire(key, ttl) end
---@param max? integer 1000
---@return string[] keys in no order
function dict:keys(max) end
function dict:flush() end
--- Removes values that have expired, so that their room is free.
---@param max? integer how many at most; 0: all
---@return integer count
function dict:flush_expired(max) end
--- Lets all values expire. get_stale still has them.
function dict:expire_all() end
--- A value can also be a list of strings and numbers, a queue between workers: the first push begins it, the last pop
--- ends it. A push removes nothing that has not expired. A list has no time to live unless `expire` gives it one.
---@param key string
---@param value string|number
---@return integer? length, string? message "value not a list", "entry too large", "no room left"
function dict:push_front(key, value) end
---@param key string
---@param value string|number
---@return integer? length, string? message
function dict:push_back(key, value) end
---@param key string
---@return string|number|nil value, string? message nil where there is none; "value not a list"
function dict:pop_front(key) end
---@param key string
---@return string|number|nil value, string? message
function dict:pop_back(key) end
---@param key string
---@return integer? length, string? message 0 where there is none; "value not a list"
function dict:length(key) end
---@return number bytes that it takes now
function dict:used() end
---@return number bytes that it may take
function dict:size() end

---@class perilune.rate
local rate = {}
--- Counts n events.
---@param key string
---@param n? integer 1
---@return number count in the current window, these included
function rate:observe(key, n) end
---@param key string
---@return number per_second over the last whole window; 0 when that is too long ago
function rate:rate(key) end
---@param key string
---@return number per_second over a sliding window: this one, and what of the last still counts
function rate:proportional(key) end

---@class perilune.inflight
local inflight = {}
--- Counts this exchange under a key until the exchange ends, however it ends, or until release.
---@param session perilune.session
---@param key string
---@param max? integer if there would be more, this one is not counted
---@return integer? count with this one; nil: it would be more than max
---@return integer? found if it would be more than max: how many there are
function inflight:acquire(session, key, max) end
---@param session perilune.session
---@param key string
---@return boolean released false where the exchange holds none
function inflight:release(session, key) end
---@param key string
---@return integer
function inflight:count(key) end

---@class perilune.counter
local counter = {}
---@param n? integer 1; may be negative
---@return integer sum
function counter:add(n) end
---@return integer
function counter:get() end
---@param value? integer 0
---@return integer before
function counter:set(value) end

--- ---------------------------------------------------------------------------------------------------------------
--- Lines in the proxy's log. Arguments are joined by a space, as print does it; a table as the last one is written as
--- name=value after the text, sorted by name. Control characters are escaped. By default all levels except debug are
--- written: see --log-level. The proxy's own lines are throttled when they repeat (5 in 10 s of each kind and subject, then
--- "8,812 more in 10 s: ..."); the lines that a policy writes here are not.
---@class perilune.log
local log = {}
---@param ... any
function log.debug(...) end
--- perilune.log.info("refused", { client = "1.2.3.4" }) writes: refused client=1.2.3.4
---@param ... any
function log.info(...) end
---@param ... any
function log.warn(...) end
---@param ... any
function log.error(...) end
---@param level "debug"|"info"|"warn"|"error"
---@return boolean would a line of this level be written?
function log.is_on(level) end

---@class perilune.certificate_files
---@field certificate string
---@field key string
---@field ocsp? string

--- Each coding takes a level, or false: it is not used. Among those that a client likes equally, zstd comes first, then br,
--- then gzip.
---@class perilune.compress_options
---@field zstd? integer|boolean 1 to 12; 3
---@field br? integer|boolean 1 to 9; 4
---@field gzip? integer|boolean 1 to 9; 5
---@field min? integer|string bytes of a body below which it is sent as it is, if its length is known; 1024
---@field types? string[] types that are compressed: "text/css", or "text/" for all of text; text, JSON, JavaScript, XML, SVG,
---fonts without compression of their own, and their like
---@field cross_site? boolean compress also personal responses that another site has asked for without a click (BREACH); false

---@class perilune.listen_options
---@field certificate? string PEM file with the chain; relative to the script. With `key`: TLS. A bad one stops no other listener
---@field key? string PEM file
---@field acme? perilune.acme_options certificates that the proxy gets and renews itself, instead of or beside files
---@field ocsp? string DER file with the OCSP response for the certificate, to be stapled
---@field certificates? perilune.certificate_files[] further ones: the client's server name chooses, and ECDSA or RSA
--- what it can do; the first of all is for clients that name none, or one that is not there. A reload reads them again where
--- they have changed, and `--watch` reloads then. A key that only root may read is kept over reloads once the process has
--- become its `user`, until the file changes: the start warns of such files
---@field client_verify? "off"|"optional"|"required" clients show a certificate by client_ca; "off"
---@field client_ca? string PEM file of the authorities for that
---@field alpn? string[] with TLS: the protocols that clients can choose; { "h2", "http/1.1" }, or one of them
---@field min_version? "TLSv1.2"|"TLSv1.3" "TLSv1.2"
---@field head_timeout? perilune.duration for the whole head, counted from its first byte; 30
---@field head_limit? integer|string bytes of a head, such as 65536 or "64K"; 65536 (431)
---@field target_limit? integer|string bytes of a request target; 8192 (414)
---@field fields_limit? integer fields of a head; 100 (431); of a peer's, see lenient.many_fields
---@field keepalive_timeout? perilune.duration idle between two requests; 75
---@field keepalive_requests? integer per connection; 0: no limit
---@field body_timeout? perilune.duration between two reads of a request body, once the client was asked for it; 60 (408)
---@field body_limit? integer|string bytes of a request body; 0: no limit (413)
---@field send_timeout? perilune.duration in which a client may take nothing of its response; 60
---@field min_receive_rate? integer bytes per second that a client must send of a request body in the long run; 240; 0: any. A
--- client begins with a credit of body_timeout (at least 5 s): waiting for it uses the credit, each byte adds 1/240 s
---@field await_body? number|false a body whose Content-Length is at most 16 KiB is read before a peer is asked, so that a slow
--- client holds no connection to a peer. If the client pauses for this many seconds (at most half of body_timeout), the
--- peer is asked, because the client may be waiting for an answer. 2; false: the body is not awaited
---@field upload_timeout? perilune.duration for the whole request body, counted from the head; without: no limit
---@field min_send_rate? integer bytes per second that a client must take, over a second or 64 KiB; 0: any
---@field tunnel_timeout? perilune.duration without a byte in either direction after a 101 or a CONNECT; 600
---@field handshake_timeout? perilune.duration for the TLS handshake with the client; 10
---@field max_retries? integer further attempts after the first; 3. Where peers of HTTP/2 end their connections (GOAWAY) without taking
---the request, up to 16 more are made; with 0 none
---@field drain_limit? integer|string bytes of a request body that are read and dropped after an early answer, so that the connection can be used again. If its Content-Length says that more is left, the answer says that the connection closes. A chunked body is read to its end, for at most 30 s; 262144
---@field abort_on_close? "hooks"|"always"|"never" when a client half-closes (FIN), end its exchange: "hooks": if a hook is
---waiting; "always": also while waiting for the peer; "never": only on a reset; "hooks"
---@field forwarded? "replace"|"append"|"keep" what happens to X-Forwarded-For and similar fields of the request: see
---below; "replace"
---@field trusted_proxies? string[] networks of your load balancers and proxies, such as { "10.0.0.0/8" }: who connects from there
---is believed about who its client is, by X-Forwarded-For, Forwarded or a PROXY header: see below
---@field trusted_field? "any"|"x-forwarded-for"|"forwarded" which field these proxies write; "any": X-Forwarded-For, or where a
---request has none, Forwarded; "any"
---@field forwarded_from? string[] networks whose clients "append" trusts; without: trusted_proxies, or without these every client
---@field via? boolean add Via; true
---@field allow_connect? boolean pass CONNECT to the policy instead of 405; false
---@field compress? boolean|perilune.compress_options compress responses for clients that accept it; true: with the usual
---options; see [compression](compression.md); false
---@field h2c? boolean without TLS: connections may begin with HTTP/2, by prior knowledge (RFC 9113 3.3); false
---@field max_streams? integer HTTP/2: requests of one connection at a time; 100. Further ones are refused, and the client may repeat them
---@field stream_window? integer|string HTTP/2: bytes of a request body that may wait to be forwarded; grows, up to 1 MiB, for a body that is forwarded as fast as it comes; 65536
---@field connection_window? integer|string HTTP/2: the same of all requests of a connection together, at least 65535. More of it is faster uploads from far away, and as much more memory that one client can take; 262144
---@field max_resets? integer HTTP/2: requests that a client may cancel, or force us to reset, before they are answered. Each second gives a tenth back, and each answered request one. Beyond, the connection ends (ENHANCE_YOUR_CALM). 200; 0: any
---@field max_control_frames? integer HTTP/2: frames without head or body (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown ones) that a client may send. Each second gives a tenth back, and so does body that moves. Beyond, the connection ends (ENHANCE_YOUR_CALM). 1000; 0: any
---@field max_connections? integer connections open at a time, in all workers together; 0: as many as descriptors allow. Further clients wait in the kernel's queue until a connection closes, or an idle one can be closed
---@field cache? perilune.cache keep responses that may be shared, and answer from there: what perilune.cache gives
---@field max_connections_per_client? integer connections of one client address (that of the PROXY header, where there is one);
--- 0: any. Further ones are closed at once, and counted. Those of trusted_proxies are not counted: they are of many clients
---@field client_ipv6_bits? integer how many leading bits of an IPv6 address identify one client; 1 to 128; 64
---@field proxy_protocol? "off"|"optional"|"required" PROXY header (version 1 or 2) of the client's side; "off"
---@field proxy_protocol_from? string[] networks that may send a PROXY header; without: trusted_proxies, or without these all; an
---empty list: none. Connections from
---elsewhere are closed if the header is required; if it is optional, they are served as clients, and a PROXY header is then
---a malformed request. For a unix socket, the permissions of its path say who may connect
---@field access_log? string|false a file, relative to the script, or "stdout", "stderr", "syslog"; false: none. Without it,
---the setting of perilune.configure. If a log cannot keep up, lines are dropped and counted; nothing waits for it. The signal
---USR1 reopens files
---@field access_log_format? "combined"|"json" "combined", or what the setting of perilune.configure says for its log

--- ---------------------------------------------------------------------------------------------------------------
--- Who the client is: X-Forwarded-For and its family
---
--- The family is X-Forwarded-For and every other X-Forwarded-*, X-Real-IP and Forwarded (RFC 7239), in any case, also with
--- "_" for "-" (which programs behind CGI or WSGI cannot tell apart), and in trailers (which never pass them on). The option
--- `forwarded` of perilune.listen says what happens to those that a *client* sends:
---
--- | `forwarded` | X-Forwarded-For, -Proto, -Host | Forwarded | all others of the family |
--- |---|---|---|---|
--- | "replace" | the client's address, scheme and host as we see them | ours, where the client sent one | taken away |
--- | "append" | For: our entry behind the client's; Proto, Host: the client's, else ours | our entry behind the client's | passed on; names with "_" are taken away |
--- | "keep" | as they came | as it came | as they came |
---
--- "append" trusts the client. Use it only if nobody but your own proxies can reach the listener, or set `trusted_proxies` to
--- their networks; then the fields of all other clients are replaced. (The client is the address of the connection, or of
--- its PROXY header.) Fields that the policy sets in a hook always stay. A client without an IP address (on a unix socket,
--- or not named by its PROXY header) is written as "unknown". These fields do not belong to the family and are never
--- changed: True-Client-IP, CF-Connecting-IP, X-Client-IP, X-Cluster-Client-IP, X-Original-*, X-Rewrite-URL, and other
--- fields of single products. If your application trusts one of them, remove it: see perilune.header_rules.
---
--- **Behind a load balancer**, say which addresses it has:
---
---     perilune.listen(":8080", policy, { trusted_proxies = { "10.0.0.0/8", "2001:db8:7::/48" } })
---
--- Then the client of a request is the one that the load balancer names: for session:client_ip and session:client_address
--- (and so for rate limits, access_control and hashes by address), in the access log, in lines of the log, in traces, in
--- X-Forwarded-For for the peer, and in the PROXY header of a peer that wants one. It is found so:
---
--- 1. Has one of the trusted proxies connected? If there is a PROXY header from one of them, the address in it counts as the one
---    that has connected. If not, that address is the client, and nothing that it says is believed. Who connects to a unix
---    socket is trusted, because the permissions of its path say who can.
--- 2. X-Forwarded-For (or Forwarded) is read from its end, all fields of that name as one list. Each entry that is a trusted
---    proxy itself makes the one before it believed; the first other address is the client. At most 64 entries are read.
--- 3. An entry that is no address (`unknown`, a name such as `_hidden`, nonsense) ends the walk: then the client is the last
---    proxy that is known by its address. So do not put your proxies' networks into lists of clients that may do more.
---
--- Addresses may have a port, brackets and quotes; client_address has the port, if one was named. An address is written in
--- its usual form: "2001:DB8::0:1" becomes "2001:db8::1", "::ffff:1.2.3.4" becomes "1.2.3.4".
---
--- A proxy that writes only one of the two fields passes on the other one as its client sent it. If yours writes Forwarded
--- and lets X-Forwarded-For through, set `trusted_field = "forwarded"`.
---
--- `forwarded` says as before what a peer gets. With "replace" that is the one address of the client, and our own view of
--- the scheme. With "append" it is what the trusted proxies said, from the client's entry on (what the client had put before is
--- left away), with the address of the connection behind, and their X-Forwarded-Proto and -Host.

--- ---------------------------------------------------------------------------------------------------------------
--- The hooks, in the order in which they are called. `ctx` is a table for the data of this exchange. Every hook may wait,
--- also inside coroutines that it makes. If the client goes away, a waiting hook ends.
---
--- A hook that raises an error ends the exchange with 500; error { status = 403 } ends it with that status. The log then
--- has the hook, the policy's line (also for a tail call, such as `return session:respond {...}`), the method, the path,
--- the client, the request id (ctx.request_id, otherwise the field X-Request-Id) and the traceback. An error value that
--- is a table without a status is printed.
---
--- What a hook returns means the same everywhere; only the first result counts. After session:respond the request is
--- answered, also where the hook returns nothing:
---
--- | result | meaning |
--- |---|---|
--- | nothing, `nil`, `false` | the next hook follows |
--- | `session:respond {...}`, `session:start_response {...}` | ends the walk with that answer, as long as nothing of a response has been sent: no peer is asked, no further attempt is made, and only the hooks answer_filter and logging follow |
--- | `true` | the hook has answered; an error (500) if session:respond was not called |
--- | anything else | an error (500) that names the hook |
---
--- Some hooks decide something, and have further results:
---
--- | hook | further results |
--- |---|---|
--- | proxy_upstream_filter | `false`: ask no peer (502); `true`: a peer may be asked, as without a result |
--- | request_cache_filter | `false`: past the cache; a table: what is different for this request; `true`: as without a result |
--- | cache_key_callback, cache_vary_filter | a text |
--- | cache_hit_filter | `"fresh"`, `"expired"` or `"miss"` |
--- | response_cache_filter | `false`: it is not stored; a table: how it is; `true`: as without a result |
--- | should_serve_stale | `true` or `false`. It cannot answer. If it fails, nothing stale is served |
--- | upstream_peer | the peer: an address, or a table. Without a peer or an answer: 500, or 503 if a set had no backend |
--- | fail_to_connect, error_while_proxy | none; `error.retry = true` or `false` decides about another attempt |
--- | fail_to_proxy | a status from 400 to 599 instead of the failure's |
--- | request_body_filter, upstream_response_body_filter, response_body_filter | what to pass on instead: a string, or an array of strings; nothing drops the piece. They cannot answer |
--- | response_trailer_filter | a string, or an array of strings, to end the body with instead of the trailers. It cannot answer |
--- | logging | none; it cannot answer. An error in it changes nothing for the client |
--- | answer_filter | none; it cannot answer. If it fails, the answer is sent as it was before the hook |
--- | certificate | its own: see below |
---
--- ```lua
--- function policy.upstream_peer(session)
---   if session:path() == "/closed" then return session:respond { status = 410, headers = { ["X-Why"] = "sold" } } end
---   return "127.0.0.1:8000"
--- end
--- ```

--- Chooses a certificate during a TLS handshake; a listener with this hook needs no certificate option. It returns the
--- certificate, the key (both as a file name or as PEM text) and how many seconds the result is kept for that server name
--- (3600). nil stands for the listener's certificate; false refuses the handshake, and so does an error. Results are kept
--- for at most 1024 names, until the next reload. It is not called for resumed sessions. `ctx` belongs to the handshake:
--- there is no exchange yet. The hook may wait, within handshake_timeout.
---@alias perilune.certificate_hook
---| fun(hello: perilune.hello, ctx: table): string|false|nil, string?, number?

---@class perilune.hello
---@field server_name? string that the client asks for
---@field acme? true it is an authority that checks a name (tls-alpn-01), on a listener with the option acme
---@field client_address string

---@class perilune.hooks
---@field certificate? perilune.certificate_hook
---@field early_request_filter? fun(session: perilune.session, ctx: table)
---@field request_filter? fun(session: perilune.session, ctx: table): true? session:respond {...}: go no further
---@field request_cache_filter? perilune.request_cache_filter
---@field cache_key_callback? fun(session: perilune.session, ctx: table): string? instead of path and query
---@field cache_vary_filter? fun(session: perilune.session, ctx: table): string? what chooses a response beside its Vary
---@field cache_hit_filter? perilune.cache_hit_filter
---@field cache_miss? fun(session: perilune.session, ctx: table) nothing is stored, so a peer is asked
---@field proxy_upstream_filter? fun(session: perilune.session, ctx: table): boolean? false: ask no peer (502)
---@field upstream_peer? fun(session: perilune.session, ctx: table): perilune.peer_options|string|true
---@field fail_to_connect? fun(session: perilune.session, peer: perilune.peer, ctx: table, error: perilune.error)
---@field connected_to_upstream? fun(session: perilune.session, reused: boolean, peer: perilune.peer, ctx: table)
---@field upstream_request_filter? fun(session: perilune.session, request: perilune.request, ctx: table)
---@field upstream_response_filter? fun(session: perilune.session, response: perilune.response, ctx: table) also for 1xx
---@field response_cache_filter? perilune.response_cache_filter
---@field should_serve_stale? fun(session: perilune.session, error: perilune.error?, ctx: table): boolean?
---@field response_filter? fun(session: perilune.session, response: perilune.response, ctx: table)
---@field error_while_proxy? perilune.error_while_proxy
---@field fail_to_proxy? fun(session: perilune.session, error: perilune.error, ctx: table): integer? another status
---@field answer_filter? perilune.answer_filter each final head, of any origin
---@field logging? fun(session: perilune.session, error: perilune.error?, ctx: table) always last, exactly once

--- The hooks of the cache are called where the listener has the option `cache`, in this order, and only as far as a
--- request comes: request_cache_filter, cache_key_callback, cache_vary_filter (these behind request_filter);
--- cache_hit_filter, where something is found; should_serve_stale, where that is stale; cache_miss, where nothing is;
--- response_cache_filter behind upstream_response_filter, for what a peer has sent. docs/cache.md says what each is for.
---@alias perilune.request_cache_filter
---| fun(session: perilune.session, ctx: table): boolean|perilune.cache_request|nil

---@class perilune.cache_request
---@field ttl? number seconds that a response without a lifetime of its own is fresh
---@field lock_wait? number seconds that it waits for the response that another request has asked for
---@field max_object? integer bytes of the largest body that is kept
---@field refresh? boolean true: what is stored is not used, but replaced
---@field only_if_cached? boolean true: 504 where nothing is stored
---@field stale? boolean false: nothing stale is served

--- Is given what is stored (to be read only), and whether that is fresh; session:cache_age() and session:cache_ttl() say
--- more. "fresh": it is served as it is. "expired": the peer is asked whether it is still good. "miss": it is as if it
--- were not there.
---@alias perilune.cache_hit_filter
---| fun(session: perilune.session, response: perilune.response, is_fresh: boolean, ctx: table): "fresh"|"expired"|"miss"|nil

---@alias perilune.response_cache_filter
---| fun(session: perilune.session, response: perilune.response, ctx: table): boolean|perilune.cache_response|nil

---@class perilune.cache_response
---@field ttl? number seconds that it is fresh, whatever it says itself. What is private, no-store or sets a cookie is not stored for it
---@field stale_while_revalidate? number seconds behind the lifetime in which it is served while it is fetched again
---@field stale_if_error? number the same where its peer fails
---@field tags? string[] at most 32 names that it can be purged by, beside those in its fields
---@field strip? string[] at most 32 names of fields that are taken out of it, such as "Set-Cookie"

--- Three kinds of response reach a client: a peer's, the policy's own (session:respond), and the proxy's error pages.
--- upstream_response_filter and response_filter see a peer's response only. answer_filter sees all three: it is called
--- once for each final response, after every other filter, just before its head is sent. Use it for fields that every
--- response must have, such as HSTS, CORS or a request id.
---
--- - It is called for 101, for 2xx to CONNECT, and for answers to requests that could not be parsed. The session of such a
---   request has no method or target ("" or what could be read). It is not called for interim responses (1xx other than
---   101), and not for clients that get no response: a failed TLS handshake, plain HTTP sent to a TLS listener (which gets
---   a fixed 400), a malformed PROXY header, a connection that is closed without an answer.
--- - It may set, add and remove fields. It cannot change the status, the reason or the body, nor what the proxy writes
---   itself (Content-Length, Transfer-Encoding, Connection). A Date that it sets is kept; otherwise the proxy adds one.
--- - It may wait, like every hook. A client that leaves meanwhile ends it.
--- - If it raises, runs out of time or returns something, the answer goes out with the fields it had before the hook, and
---   the error is logged.
--- - If the peer's response fails after the hook was called but before it was sent, the hook is called again for the error
---   page that takes its place.
---
--- ```lua
--- function policy.answer_filter(session, response, ctx)
---   response:set_header("Strict-Transport-Security", "max-age=31536000")
---   if ctx.request_id then response:set_header("X-Request-Id", ctx.request_id) end
--- end
--- ```
---@alias perilune.answer_filter
---| fun(session: perilune.session, response: perilune.response, ctx: table)

--- The body hooks get a body piece by piece. `is_last` marks the last piece, which may be empty. What a hook returns is
--- passed on instead of the piece: a string, an array of strings, or nothing, which drops the piece. (So a hook that only
--- looks must return the chunk.) Only the first result counts. A piece is what one read of the connection gave, at most
--- 64 KiB. Pieces are cut anywhere, so a hook that searches for a text must keep back the end of a piece. A hook may keep
--- everything back and return it with the last piece. While a hook waits, the sender waits too. Messages without a body
--- (GET, HEAD, 204, 304) do not come here. With a body hook, the body is sent chunked (to HTTP/1.0: until the connection
--- closes), without Content-Length. An error before anything was sent gives 500, or its status; a later one cuts the
--- message off.
---
--- ```lua
--- function policy.response_body_filter(session, chunk, is_last, ctx) -- the whole, at its end
---   ctx.pieces = ctx.pieces or {}
---   table.insert(ctx.pieces, chunk)
---   if is_last then return (table.concat(ctx.pieces):gsub("http://", "https://")) end
--- end
--- ```
---@alias perilune.body_filter
---| fun(session: perilune.session, chunk: string, is_last: boolean, ctx: table): string|string[]|nil

---@class perilune.hooks
---@field decode? boolean the body hooks, and session:read_body, get text: gzip, br, zstd and deflate are decompressed before
---them, and the client gets the result compressed again, if it accepts that; see [compression](compression.md); false
---@field request_body_filter? perilune.body_filter towards the peer; each byte passes once, a retry sends again what the hook returned
---@field upstream_response_body_filter? perilune.body_filter as the peer sends it
---@field response_body_filter? perilune.body_filter as the client gets it; called after upstream_response_body_filter
---@field response_trailer_filter? perilune.trailer_filter

--- Called once after the body of each response that is sent chunked, or with a body over HTTP/2, also if the peer
--- sent no trailers. It changes them in place. A text that it returns ends the body, and no trailers are sent: so they
--- reach clients that read none.
---@alias perilune.trailer_filter
---| fun(session: perilune.session, trailers: perilune.message, ctx: table): string|string[]|nil

--- Called when an attempt fails after it has connected, and before a set asks another backend because of a status (its
--- option retry_on): then the kind is `answered_error`. error.retry = true or false says whether another attempt is made,
--- if that is safe; with false, the client gets the answer that there was. For other answers, there is session:retry.
---@alias perilune.error_while_proxy
---| fun(session: perilune.session, peer: perilune.peer, error: perilune.error, ctx: table, reused: boolean)

--- What upstream_peer returns. Peers share spare connections if all these fields are equal.
---@class perilune.peer_options
---@field address string "1.2.3.4:443", "[::1]:80", "unix:/path", "name:80"; ":80" is localhost
---@field tls? boolean
---@field sni? string the server name for TLS; without: the address's host, where that is a name
---@field verify? boolean false: accept any certificate
---@field verify_name? string the name that the certificate must have, if it is not the SNI
---@field ca? string PEM file of trusted authorities, relative to the script; without: the system's. If this file or
--- one of the next two changes, it is loaded again within two seconds; if that fails, the old one stays in use
---@field certificate? string PEM file: the client certificate for peers that ask for one; with `key`
---@field key? string PEM file
---@field min_version? "TLSv1.2"|"TLSv1.3" "TLSv1.2"
---@field alpn? "http/1.1"|"h2"|"h2,http/1.1"|"none" with TLS: the protocols that are offered; with both, the peer chooses;
--- with "h2", one that does not choose it is refused (tls_failed); "http/1.1". A WebSocket goes over HTTP/2 if the peer
--- announces extended CONNECT (RFC 8441), otherwise with both over HTTP/1.1, and with "h2" it gets 502. With both, a peer
--- that answers HTTP_1_1_REQUIRED is asked over HTTP/1.1 for the next five minutes
---@field http2? boolean without TLS: it speaks HTTP/2, by prior knowledge (RFC 9113 3.3); false. One connection carries up
--- to 100 requests of any clients at a time, or as many as the peer allows; more are opened as they are needed
---@field ping_interval? number of HTTP/2: requests are under way, and nothing has come for so long: a PING is sent; 15
---@field ping_timeout? number in which anything must come then, or the connection is lost; 10 (502)
---@field group? string separates the spare connections of otherwise equal peers
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" which addresses of a name to try; "any": both, IPv6 first. The next address is
--- tried after 250 ms, or at once if one fails; the first to connect is used
---@field connect_timeout? perilune.duration name lookup and TCP together; 5 (504)
---@field handshake_timeout? perilune.duration TLS; 10 (504)
---@field first_byte_timeout? perilune.duration from the end of the request to the head of the response. It starts again
--- after an interim response, at most three times in all. It also limits the wait for a 100 Continue; 60 (504)
---@field read_timeout? perilune.duration between two reads of the response; 60 (504)
---@field send_timeout? perilune.duration in which the peer may take nothing of the request; 60 (504)
---@field idle_timeout? perilune.duration|false how long a spare connection is kept; 55; false: not at all
---@field max_idle? integer spare connections to it that a worker keeps for longer than a second (to all peers: 1024), 1 or more; 256. To keep none, set idle_timeout = false
---@field hedge? perilune.duration seconds without an answer after which upstream_peer is called again and its peer is asked too; the
--- first answer is used. Only for idempotent methods without a body, once per request, within the set's retry budget;
--- without: never
---@field proxy_protocol? 0|1|2 send a PROXY header of this version first on each new connection
---@field lenient? perilune.lenient deviations from RFC 9112 that its responses may have

--- Deviations from RFC 9112 that a peer's responses may have, by name: `lenient = { bare_lf = true, odd_status = false }`,
--- or a list of those to allow. Those that are not named keep their default: on if the meaning is never in doubt, off if
--- two programs could disagree about where a response or a field ends. (If they disagree, an attacker who can make the
--- origin write such bytes can make it write a response that the next client gets.) The client never sees a deviation: its
--- response is written again. Requests are always read strictly.
---
--- White space before the colon of a response field is always removed (RFC 9112 section 5.1).
---@class perilune.lenient
---@field chunk_padding? boolean white space after the size of a chunk or its extension: "1f4    "; on
---@field odd_status? boolean a status from 600 to 999, which is passed on; on
---@field many_fields? boolean up to 1,000 fields in a head, even if the listener's fields_limit is lower; on. head_limit
--- still limits the size of the head
---@field bare_lf? boolean lines of a head that end with LF alone; off. The risk: if the origin copies a value with LF in it,
--- a client that chose that value can write fields and responses
---@field obs_fold? boolean a field that continues in the next line, which begins with white space: they become one line; off.
--- The risk: the origin, or a proxy in between, meant the second line as another field
---@field both_lengths? boolean Content-Length together with chunked: the chunks count, Content-Length is removed, and the
--- connection is not used again; off. The risk: somebody hid a second response between the two ends
---@field no_close_notify? boolean a body that ends with the connection, and TLS that ends without close_notify; off.
--- The risk: somebody on the way can cut the body short without being noticed. Needs tls = true

--- The peer of an attempt, as hooks get it. tostring() gives the address.
---@class perilune.peer
---@field address string
---@field tls boolean
---@field sni? string
---@field group? string

--- ---------------------------------------------------------------------------------------------------------------
--- session: one exchange. Using it after the exchange has ended raises an error. The getters work in every phase. Keep
--- your data in ctx. Do not use a session as the key of a table: a later exchange may have an equal one.
---
--- ```lua
--- function policy.request_filter(session)
---   if session:query_arg "debug" and session:client_ip() ~= "127.0.0.1" then
---     return session:respond { status = 403, headers = { ["Cache-Control"] = "no-store" }, body = "no\n" }
---   end
---   if session:method() == "POST" then session:set_body(session:read_body(65536):upper()) end
--- end
--- ```

---@class perilune.session
local session = {}

---@return string method as received: "GET"
function session:method() end
---@return string target "/path?query", "*", or "host:port" of a CONNECT
function session:target() end
---@return string path the target up to its question mark
function session:path() end
---@return string? query without the question mark
function session:query() end
---@return number version 1.0 or 1.1
function session:version() end
---@return string? host that the client asked for: no port, lower case
function session:host() end
---@return "http"|"https" scheme of the client's connection
function session:scheme() end

--- The first value of a field of the client's request. Case does not matter. Fields that are about the client's connection
--- are not forwarded and not in headers(), but two can be read: "Upgrade" has the protocols that are passed on
--- ("websocket"); "Connection" is then "upgrade", or "close" if the client closes the connection.
---@param name string
---@return string?
function session:get_header(name) end
--- All values of a field.
---@param name string
---@return string[]
function session:get_headers(name) end
--- for name, value in session:headers() do ... end
---@return fun(): string?, string?
function session:headers() end
--- The client's request, to change what all attempts send. It can be changed before a peer is asked:
--- early_request_filter, request_filter, proxy_upstream_filter, upstream_peer.
---@return perilune.request
function session:request() end

--- The same as session:request():set_method(method).
---@param method string
function session:set_method(method) end

--- Waits for the whole body of the request and returns it; "" if there is none. All attempts still send it. A body of more
--- than `limit` bytes gives 413. It can be read before a peer is asked: in early_request_filter, request_filter,
--- proxy_upstream_filter and upstream_peer.
---@param limit? integer bytes; 1048576
---@return string
function session:read_body(limit) end
--- Sets another body for all attempts, and its length. Only after read_body, or for a request without a body.
---@param text string
function session:set_body(text) end

---@return string address "1.2.3.4:5678" of the client; "unix:" for a unix socket (never its path), "unknown" if a PROXY
---header names no IP address. Behind trusted_proxies: of their client, without a port if they name none
function session:client_address() end
---@return string ip without the port; "unix:" or "unknown" as above
function session:client_ip() end
---@return string? the proxy's address that the client is connected to; nil once the client is gone
function session:server_address() end
---@return perilune.tls_facts? tls of the client's connection; nil without TLS
function session:tls() end
---@return integer? count of requests on the client's connection, with this one; nil once it is gone
function session:connection_requests() end
--- A table that lives as long as the client's connection: the same for all its exchanges. A reload begins a new one.
---@return table
function session:connection_ctx() end
---@return string? address of the peer that was asked last; nil before upstream_peer
function session:peer_address() end
---@return integer count calls of upstream_peer so far
function session:attempts() end
---@return boolean reused did the last attempt use a spare connection?
function session:reused() end
---@return integer? status of the answer: what the client got, else what the peer or the policy said so far
function session:response_status() end
---@return integer count how many further calls of upstream_peer there may be
function session:retries_left() end
---@return string? kind of the last failure, also if another attempt followed; nil: there was none
function session:last_failure() end
---@return perilune.tls_facts? tls of the connection to the peer; nil if there is none, and without TLS
function session:upstream_tls() end

---@return number bytes of the request's body so far
function session:request_bytes() end
---@return number bytes of the response's body so far
function session:body_bytes() end
---@return number seconds since the head arrived; in logging: of the whole exchange
function session:duration() end
--- Seconds of the last attempt: connect (TCP and TLS; 0 for a spare connection), first_byte (from there to the head of
--- the response) and response (from there on); and total, of the whole exchange. What was not reached is missing.
---@return { connect?: number, first_byte?: number, response?: number, total: number }
function session:timings() end
--- What the cache did for this request: "hit", "miss", "stale", "stale-updating", "expired", "revalidated", "bypass".
---@return string? status nil: the listener has no cache, or the request has not come to it
function session:cache_status() end
---@return number? seconds since the stored response was made; nil: there is none
function session:cache_age() end
---@return number? seconds for which the stored response is still fresh, below 0 where it is stale; nil: there is none
function session:cache_ttl() end

---@return string name of the running hook
function session:phase() end

---@class perilune.client_certificate
---@field subject string "CN=alice,O=Example" (RFC 4514)
---@field issuer string
---@field serial string hexadecimal
---@field fingerprint string SHA-256, hexadecimal


--- Fields of the query: a table with the first value of each name, and all { name, value } in order.
---@return table<string, string> first, string[][] all
function session:query_args() end
---@param name string
---@return string? value the first one
function session:query_arg(name) end
---@return table<string, string> cookies by name
function session:cookies() end
---@param name string
---@return string?
function session:cookie(name) end

---@class perilune.tls_facts
---@field version string "TLSv1.3"
---@field cipher string
---@field server_name? string that a client asked for
---@field resumed? boolean was an earlier TLS session resumed?
---@field client? perilune.client_certificate certificate of the client, if it was verified

--- Answers the request instead of a peer. In every phase except logging and the body hooks, until the response has begun.
--- `return session:respond {...}` ends the hook and the walk; without `return`, what follows is run. If the hook answers again, or if a default policy has answered in it before, the last answer counts alone. In pieces: start_response.
---@param answer perilune.answer
---@return true
function session:respond(answer) end
--- Sets a field of the response that the client will get, whichever that is: a peer's, one of the cache, an answer, an
--- error page. It takes the place of fields of that name; a Set-Cookie is added to those that are there. In all hooks
--- before the response has begun.
---@param name string
---@param value string|number|(string|number)[]|nil nil: not set any more
function session:set_response_header(name, value) end

--- Closes the client's connection after this response. Until the response has begun.
function session:set_close() end

--- Counts a failure of this attempt's backend in the passive checks. Use it for failures that only the policy can see, such
--- as an error inside a 200: an answer of 500, 502, 503 or 504 counts by itself, also if a hook raises because of it. In
--- any hook except logging, before the end of the response.
---@return boolean counted false if no backend of a set is being asked
function session:report_failure() end

--- Asks again instead of passing this response on: `return session:retry()` in upstream_response_filter. upstream_peer is
--- called for another attempt; `select` of a set gives a backend that this request has not been at, as long as there is
--- one. This response counts as a failure of its backend in the passive checks, and the attempt is taken out of the set's
--- retry budget. If the other attempt gives no response, the client gets this one, as this hook has left it.
--- Any method is sent again, with its body. If there is an obstacle, this returns nil and says which, and the client gets
--- the response: max_retries is reached, the budget is used up, the body has more than 64 KiB, or the client has got an
--- interim response. A set's own `retry_on` is tried before.
---@return true?, string? obstacle
function session:retry() end

--- Adds a field to the request's line in the access log, if the log is JSON (access_log_format); nil removes it again. The
--- line's own fields client, host, target, client_target, referer and user_agent can be replaced, for instance to hide a secret, or
--- removed by nil; that works in the combined format, too. In every phase, also in logging: the line is written after it.
--- At most 16 fields; a text is cut after about 1,000 characters.
---
--- ```lua
--- function policy.request_filter(session)
---   session:set_log_field("tenant", session:get_header "X-Tenant")
--- end
--- ```
---@param name string letters, digits, "_", "-" and "."; not a name that the line already has
---@param value string|number|boolean|nil
function session:set_log_field(name, value) end

--- The span of the request in its trace, to add attributes and spans: see perilune.span. In every phase.
---@return perilune.span
function session:trace() end

--- Ends the request without any answer: a stream of HTTP/2 is reset by the code (RFC 9113 section 7), a connection of
--- HTTP/1.1 is closed. In the phases of session:respond, and like it: `return session:reset()` ends the walk.
---@param code? string|integer "cancel" (default), "refused_stream" (the client may ask again), ...; or a number
---@return true
function session:reset(code) end

---@class perilune.answer
---@field status integer 200 to 599
---@field reason? string
---@field headers? table<string, string|number|(string|number)[]> Content-Length and the like are written by the proxy
---@field body? string
---@field close? boolean close the client's connection after it

--- ---------------------------------------------------------------------------------------------------------------
--- request and response: what filters edit. Fields keep their order. Names and values are checked: CR, LF and NUL raise
--- an error. Content-Length, Transfer-Encoding, Upgrade and Connection ("upgrade" or "close") can be read. Setting them
--- raises an error, like every field that frames a message or belongs to one connection.
---
--- ```lua
--- function policy.upstream_request_filter(session, request)
---   for name in request:headers() do
---     if name:lower():find "^x%-debug" then request:remove_header(name) end
---   end
---   request:set_header("X-Client", session:client_ip())
--- end
--- ```

---@class perilune.message
local message = {}
---@param name string
---@return string?
function message:get_header(name) end
---@param name string
---@return string[]
function message:get_headers(name) end
--- for name, value in request:headers() do ... end. It goes through the fields as they were at the call, so the loop may
--- change them.
---@return fun(): string?, string?
function message:headers() end
--- Replaces all fields of that name. A single value takes the place of the first one; an array of values goes to the end.
--- Numbers are written so that they read back as the same number: 1234567890123456. A request has exactly one Host, which
--- must be valid: a second or an invalid one raises an error.
---@param name string
---@param value string|number|(string|number)[]
function message:set_header(name, value) end
---@param name string
---@param value string|number|(string|number)[]
function message:add_header(name, value) end
---@param name string
---@return integer count how many there were
function message:remove_header(name) end

--- The request of an attempt can be changed in upstream_request_filter; that of session:request() before a peer is asked.
---@class perilune.request: perilune.message
local request = {}
---@return string
function request:method() end
---@return string
function request:target() end
---@return string
function request:path() end
---@return number
function request:version() end
--- Sets another method for all attempts, before a peer is asked: so not in upstream_request_filter. HEAD, CONNECT and TRACE
--- can neither be set nor replaced, because the end of the response depends on them. The new method decides whether the
--- request may be sent twice.
---@param method string one word, such as "PATCH"
function request:set_method(method) end
--- Sets another path and query. An access log in JSON has what the client has asked for as `client_target` then, and behind
--- set_method as `client_method`.
---@param target string begins with "/"
function request:set_target(target) end

--- It can be changed in upstream_response_filter and response_filter, which see a peer's response only; its fields also in
--- answer_filter, which sees every final response.
---@class perilune.response: perilune.message
local response = {}
---@return integer
function response:status() end
---@return string
function response:reason() end
--- Sets another status. A status with a body cannot replace one without (1xx, 204, 304), nor the other way round.
---@param status integer
---@param reason? string without: the usual one
function response:set_status(status, reason) end
--- Says whether this response is compressed, whatever the listener's `compress` says. true: by its rules, or the usual ones;
--- false: no; "zstd", "br" or "gzip": by this coding, whatever the type and the size. It is compressed only if the client
--- accepts that, and never if it is compressed already, a part (206), "no-transform", multipart or gRPC. Phases:
--- upstream_response_filter, response_filter, answer_filter.
---@param coding boolean|"zstd"|"br"|"gzip"
function response:set_compression(coding) end
--- The body hooks get this body as text, as with `decode = true`. It stays as it is if its coding is unknown, if there are
--- more than two, or if it is a part (206). Phases: upstream_response_filter, response_filter.
---@return boolean is_text it is text, or will be
function response:set_decoded() end

--- ---------------------------------------------------------------------------------------------------------------
--- error: what went wrong. tostring() gives its text.
---
--- ```lua
--- function policy.fail_to_connect(session, peer, ctx, error)
---   perilune.log.warn("no connection", { peer = peer.address, why = error:text() })
---   error.retry = session:attempts() < 3
--- end
--- ```

--- A lack of resources on this machine, `local_shortage` (no descriptor, no memory) or `no_port` (EADDRNOTAVAIL), is of side
--- internal. The proxy first waits for the resource, for up to connect_timeout. Neither these errors nor those of the
--- policy count against a backend or the retry budget.
---@class perilune.error
---@field retry? boolean set it in fail_to_connect or error_while_proxy to decide whether another attempt is made
local failure = {}
--- All kinds, and the status that the client gets unless fail_to_proxy gives another one (-: no answer is possible):
---
--- | kind | side | status | what happened |
--- |---|---|---|---|
--- | `bad_request` | downstream | 400 | malformed request head |
--- | `bad_host` | downstream | 400 | missing, repeated or invalid Host |
--- | `bad_framing` | downstream | 400 | the end of the request body is in doubt |
--- | `bad_chunk` | downstream | 400 | malformed chunked request body |
--- | `request_truncated` | downstream | 400 | the client ended in mid-request |
--- | `request_timeout` | downstream | 408 | the request head took too long |
--- | `body_timeout` | downstream | 408 | the request body stalled |
--- | `body_too_large` | downstream | 413 | the request body is larger than allowed |
--- | `request_coding` | downstream | 400 | the request body is not what its coding says |
--- | `target_too_long` | downstream | 414 | the request target is longer than allowed |
--- | `head_too_large` | downstream | 431 | the request head is larger than allowed |
--- | `method_not_allowed` | downstream | 405 | this method is not proxied |
--- | `method_too_long` | downstream | 501 | the method is longer than any known |
--- | `expectation_failed` | downstream | 417 | unknown expectation |
--- | `coding_unknown` | downstream | 501 | unknown transfer coding |
--- | `version_unsupported` | downstream | 505 | unsupported HTTP version |
--- | `client_gone` | downstream | - | the client closed the connection |
--- | `client_stalled` | downstream | - | the client does not read its response |
--- | `deadline` | downstream | 504 | the time that the client gave it (grpc-timeout) is over |
--- | `resolve_failed` | upstream | 502 | the peer's name could not be resolved |
--- | `connect_refused` | upstream | 502 | the peer refused the connection |
--- | `connect_failed` | upstream | 502 | could not connect to the peer |
--- | `connect_timeout` | upstream | 504 | connecting to the peer took too long |
--- | `tls_failed` | upstream | 502 | TLS handshake with the peer failed |
--- | `tls_timeout` | upstream | 504 | TLS handshake with the peer took too long |
--- | `certificate` | upstream | 502 | the peer's certificate was not accepted |
--- | `upstream_closed` | upstream | 502 | the peer closed before it answered |
--- | `upstream_write` | upstream | 502 | sending the request to the peer failed |
--- | `upstream_leaving` | upstream | 502 | the peer ends the connection and has not taken the request |
--- | `stream_refused` | upstream | 502 | the peer refused the request unprocessed |
--- | `version_required` | upstream | 502 | the peer takes this request over HTTP/1.1 only |
--- | `tunnel_not_offered` | upstream | 502 | the peer takes no WebSocket or other Upgrade over HTTP/2 |
--- | `stream_reset` | upstream | 502 | the peer reset the stream of the request |
--- | `upstream_send_timeout` | upstream | 504 | the peer stopped reading |
--- | `first_byte_timeout` | upstream | 504 | the peer did not answer in time |
--- | `read_timeout` | upstream | 504 | the peer stalled in mid-response |
--- | `bad_response` | upstream | 502 | malformed response |
--- | `response_truncated` | upstream | 502 | the peer ended in mid-response |
--- | `response_coding` | upstream | 502 | the response body is not what its coding says |
--- | `response_too_large` | upstream | 502 | the decoded response is out of all proportion |
--- | `answered_error` | upstream | 502 | the peer answered with an error of its own |
--- | `upstream_refused` | internal | 502 | the policy refused to ask a peer |
--- | `no_backend` | internal | 503 | no healthy backend |
--- | `overloaded` | internal | 503 | all backends are at their limits |
--- | `local_shortage` | internal | 503 | this machine has no descriptor or memory left |
--- | `no_port` | internal | 503 | this machine has no port left for a connection to the peer |
--- | `bad_peer` | internal | 500 | upstream_peer gave no usable peer |
--- | `script` | internal | 500 | the policy raised an error |
--- | `script_timeout` | internal | 504 | the policy used up its time |
--- | `unsafe_head` | internal | 500 | a head that must not be written as it is |
--- | `reset` | internal | - | the policy reset the stream |
--- | `stopping` | internal | 503 | the proxy is stopping |
---@return string kind "connect_refused", "first_byte_timeout", ...
function failure:kind() end
---@return "downstream"|"upstream"|"internal" side whose fault it is
function failure:side() end
---@return string text a sentence for people
function failure:text() end
---@return integer status for the client; of `answered_error`, that of the answer; 0: no answer is possible
function failure:status() end
---@return boolean retryable is another attempt made, if the policy does not decide?
function failure:retryable() end
