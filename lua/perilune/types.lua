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
--- LuaJIT's libraries are there, but for what would end or crash the process by mistake, which raises: bytecode in load,
--- loadstring, loadfile, dofile, require and as a policy; os.exit; os.setlocale; debug.sethook, getregistry, setlocal,
--- and what else of debug changes C functions or userdata; jit.profile. os.execute and io.popen block their worker.
--- ffi and package.loadlib are C: who uses them is trusted with the process.

--- **Where modules and files are found.**
---
--- | what | where |
--- |---|---|
--- | `require "perilune.x"` | Perilune's own modules |
--- | `require "gateway.config"` | `gateway/config.lua` or `gateway/config/init.lua` beside the script, then package.path |
--- | `dofile "sides.lua"`, `loadfile` | beside the script; an absolute path stays as it is |
--- | options that name a file (certificates, logs, `ca`, discovery.file) | beside the script |
--- | `io.open` | in the working directory of the process |
---
--- `--watch` reloads when the script, a module, a file read by dofile or loadfile, or a certificate changes; a file that
--- the policy reads by io.open is not watched. All but io.open read regular files alone: a FIFO or a device, for which
--- a worker would wait, is an error; so is a script of more than 64 MiB, and any other file of more than 4 MiB, as is
--- loadfile without a name, which would read the standard input. In `perilune test`, names of dofile and loadfile are
--- relative to the working directory.
---
--- A name that Perilune does not have raises instead of being nil, and the message says what it may have been:
--- `perilune.slep`, `session:get_heder`, `session.user`. Where a name may be missing, ask with rawget. `perilune check`
--- also finds globals that are not there, methods that a hook's session, request or response does not have, and sets
--- that have no backends.

---@class perilune
---@field log perilune.log
---@field json perilune.json this and the modules below are loaded when they are first used
---@field base64 perilune.base64
---@field crypto perilune.crypto
---@field url perilune.url
---@field cookie perilune.cookie
---@field date perilune.date
---@field cidr perilune.cidr
---@field regex perilune.regex
---@field tcp perilune.tcp
---@field http perilune.http
---@field dns perilune.dns
---@field redis perilune.redis
local perilune = {}

--- Serves `hooks` on an address: "0.0.0.0:6188", ":80" (every IPv4 and IPv6 address), "[::1]:80", "localhost:80" (which
--- is 127.0.0.1), "unix:/path"; port 0
--- takes a free one. Only in the policy's main chunk. The hooks need upstream_peer, or a request_filter that answers.
---@param address string
---@param hooks perilune.hooks
---@param options? perilune.listen_options
function perilune.listen(address, hooks, options) end

--- Lets time pass, without blocking anything else. In hooks and in background work.
---@param seconds number
function perilune.sleep(seconds) end

--- Runs a function beside the code that goes on. In a hook: as a task of the exchange, which ends with it at the latest
--- (what shall outlive it: perilune.after); it begins when the hook waits. In background work the same, without an
--- exchange. In the main chunk: once, in the control worker, when everything listens; without arguments. An error ends
--- it and is raised in perilune.wait; where nobody waits it is logged. A worker runs at most 20,000 tasks at once.
---@param fn function
---@param ... any arguments of the function
---@return perilune.task
function perilune.spawn(fn, ...) end

--- Waits until all tasks have ended. One task: all its results; several: the first result of each. What one of them
--- raised is raised here. With { timeout = seconds } as the last argument: nil and "timeout" where it takes longer.
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

--- Waits until one of the tasks has ended: its position and its results. Else as perilune.wait.
---@param ... perilune.task|{ timeout: number }
---@return integer? position, any ...
function perilune.wait_any(...) end

---@class perilune.task
local task = {}
--- Ends it, where it waits.
function task:stop() end
---@return "running"|"returned"|"failed"|"stopped"
function task:status() end

---@class perilune.job
local job = {}
--- No further run begins; one that is under way goes on to its end.
function job:stop() end

--- Is another policy in force, or does the proxy stop? What loops in the background ends then: it is work under way, and
--- is waited for.
---@return boolean
function perilune.is_retired() end

---@class perilune.job_options
---@field on? "control"|"every worker" of the main chunk: where it runs: in the control worker alone ("control", which stands where nothing is said), or in that and in each of perilune.workers(), which does not count it
---@field immediately? boolean of perilune.every: the first run begins at once

--- Runs a function in the background, `seconds` later. In the main chunk: counted from when everything listens, in the
--- control worker or on every worker. In a hook: in its worker. It belongs to no exchange. An error is logged.
---
--- What has begun, and what is due at once (0), goes on to its end when the policy is replaced or the proxy stops: within
--- `drain` at a reload and an upgrade, within `grace` at a stop; what takes longer is cut, and the log says how much. What
--- is due later then will not come to its time: a function that takes a parameter is called at once, with true; one that
--- takes none is dropped, and the log says how many were. perilune.every begins no further run.
---
--- A worker holds at most 20,000 of these and of perilune.every at the same time; one more is an error.
---@param seconds number
---@param fn fun(premature: true?)
---@param options? perilune.job_options
---@return perilune.job
function perilune.after(seconds, fn, options) end

--- The same, again and again: the next run is due `seconds` after the last began, and never before it ended. An error
--- is logged and does not end it.
---@param seconds number
---@param fn fun()
---@param options? perilune.job_options
---@return perilune.job
function perilune.every(seconds, fn, options) end

--- Seconds since 1970, with fractions.
---@return number
function perilune.time() end

--- Seconds since some start, never going back: for differences.
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

--- What this worker's VM holds, in bytes.
---@return number
function perilune.memory_used() end

--- The most that each worker's VM may hold, in bytes; 256 MiB without. At the limit garbage is collected; code that
--- still goes beyond it fails with "not enough memory", at its own line. Where the policy itself keeps too much, requests
--- that need little (64 KiB) go on in a quarter more, and the policy is loaded anew. For a moment the VM may hold more:
--- machine code notices at its next look at the collector. Code that goes beyond three times the limit and 32 MiB
--- without one, as a compiled loop that puts numbers into a table, loses the VM: its requests get 500, and the policy is
--- loaded anew at once, then with growing pauses.
---@param bytes number
function perilune.set_memory_limit(bytes) end

---Settings of the process; the command line has the last word over each. Only in the policy's main chunk. An unknown setting or
---an impossible value raises, naming the valid ones. `perilune run --print-config SCRIPT` shows what is in effect and why.
---@class perilune.Settings
---@field workers? integer|"auto" worker threads; auto: one for each core
---@field grace? number seconds in which a graceful stop ends (30)
---@field upgrade_grace? number seconds in which the old process ends after an upgrade (3600)
---@field drain? number seconds in which background work of an older generation ends, and after which it is reported that exchanges still use it (30)
---@field reload_timeout? number seconds in which all workers must have switched, or a reload says who has not; and in which a VM must have loaded the policy, or a reload says that it waits no longer (10)
---@field upgrade_timeout? number seconds in which a successor must serve, or the upgrade has failed (60)
---@field low_latency? boolean serve what comes at once under load, too; without, a busy worker gathers for up to 0.1 ms, which
---saves a tenth of its CPU time
---@field watch? boolean reload when a file of the policy changes
---@field daemon? boolean go on in the background once the policy serves
---@field pid_file? string file with the process id
---@field socket? string path of the command socket
---@field user? string user to become once the listeners are open
---@field group? string group to become
---@field admin? string loopback address or unix:/path of the status page, /status.json and /metrics; none
---@field admin_public? boolean admin may be an address that others can reach
---@field error_log? string a file, "stderr" or "syslog" ("syslog:/path" of its socket); "stderr"
---@field access_log? string the same or "stdout", for all listeners that say nothing; with ":json" behind it, lines of JSON
---@field log_level? "debug"|"info"|"warn"|"error"
---@field hook_time? number of the policy, not of the process: seconds that Lua may run without waiting (1). Then its request
---gets 504. A loop that has been compiled, a finalizer and a handler of errors are not interrupted, but left as long again
---later (at most a second): the VM is given up, what waits in it gets 500, and the policy is loaded anew. A call that
---blocks (os.execute, io.popen, ffi) can only be reported in the log
---@field load_time? number of the policy: seconds of CPU time in which its main chunk must come to an end; three times as many seconds of the clock, for calls that block: nothing can wait there (10)
---@field jit? boolean of the policy: false switches the JIT compiler off, so that every loop can be interrupted
---@field memory_limit? number of the policy: bytes that each of its VMs may hold, together with the fields, targets and
---answers of exchanges under way (256 MiB): see perilune.set_memory_limit

---@param settings perilune.Settings
function perilune.configure(settings) end

--- ---------------------------------------------------------------------------------------------------------------
--- State that all workers share, found by its name, and kept over reloads
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
--- Loading a policy changes nothing that is in use, for it may be refused, rolled back as a canary, or tried in the shadow:
---
--- - An object that does not fit (another size, interval, limit, other labels) is made anew, and takes the name when the
---   policy comes into force. A canary's requests use the new one meanwhile, a shadow has objects of its own alone.
--- - The main chunk may read what is in use. What it would change there (dict:set, add, incr, delete and flush,
---   rate:observe, counter:add and set, metrics, set:update and set_enabled of backends) is put off until the policy is in
---   force, and then done by each of its VMs, those of the workers and of the control worker. The call gives what it would
---   give if nothing else happened. An object that is new with the policy is changed at once.
--- - A set of backends has the list that the new policy states when that is in force. An equal list leaves one that was
---   found since, by discovery or set:update, as it is.
--- - Timers, spawned functions, name servers and TLS files come into force with the policy. What waits (perilune.sleep, dns,
---   tcp, http) raises: that is for perilune.spawn.

--- Of each kind (dict, rate, inflight, counter, metric, ...) there may be 1000 names; one more raises. A name made of what a
--- client says is a mistake: use a key, or a label.

--- A dictionary of a bounded size: when it is full, what was used least recently makes room. With another size than
--- before a reload begins it anew. It stays until no policy is in force that has asked for it.
---@param name string
---@param options? { size: integer } bytes, its own tables included; 65536 to half of the machine's memory; 1048576
---@return perilune.dict
function perilune.dict(name, options) end

--- How often something happens, by key: estimates in windows of `interval` seconds, in fixed memory (a count-min sketch of
--- 4 rows of `slots`, twice: 64 bytes a slot, so 64 KiB). A count is never too low. It is too high by what other keys
--- share its cells. With many more keys than slots, one key in 55 is counted too high by more than 2.72 / slots of all
--- events of the window (with 1024 slots: by more than a 377th of them). That tells who sends much; who is to be refused, rate_limit and perilune.inflight count exactly.
---@param name string
---@param options? { interval: number, slots: integer } seconds; 1. 1 to 16777216; 1024
---@return perilune.rate
function perilune.rate(name, options) end

--- How many exchanges are under way, by key: exact, and never forgotten while they are. Of more than `keys` keys at once
--- a new one is let pass without being counted, which status and metrics tell. About 48 bytes a key.
---@param name string
---@param options? { keys: integer } 1 to 67108864, within half of the machine's memory; 65536. With another number than before a reload begins it anew
---@return perilune.inflight
function perilune.inflight(name, options) end

--- A whole number that all workers add to.
---@param name string
---@return perilune.counter
function perilune.counter(name) end

--- Metrics of the policy's own, in /metrics beside those of the proxy. One for all workers by its name, and a reload that
--- declares it again goes on with it; with other labels or buckets it begins anew. Counting takes no lock; of a
--- combination of label values beyond the thousandth nothing is counted.
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

---@class perilune.dict
local dict = {}
---@param key string
---@return string|number|boolean|nil value nil where there is none
function dict:get(key) end
--- Stores it, for `ttl` seconds or for ever. nil deletes.
---@param key string
---@param value string|number|boolean|nil
---@param ttl? number seconds
---@return true?, string? message "entry too large" by itself; an older value then stays
function dict:set(key, value, ttl) end
--- Stores it where there is none.
---@param key string
---@param value string|number|boolean
---@param ttl? number seconds
---@return true?, string? message "key exists", "entry too large"
function dict:add(key, value, ttl) end
--- Adds to a number, in one step for all workers. Its time to live stays as it is.
---@param key string
---@param by? number 1
---@param from? number what a missing key begins with; without, it is an error
---@param ttl? number seconds that a missing key then lives
---@return number? sum, string? message "no such key", "not a number"
function dict:incr(key, by, from, ttl) end
---@param key string
---@return boolean existed
function dict:delete(key) end
---@param key string
---@return number? seconds left; math.huge: for ever; nil where there is none
function dict:ttl(key) end
---@param max? integer 1000
---@return string[] keys in no order
function dict:keys(max) end
function dict:flush() end
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
--- Counts this exchange under a key until its end, whichever end that is, or until release.
---@param session perilune.session
---@param key string
---@param max? integer nothing is counted where it would be more
---@return integer? count with this one; nil: it would be more than max
---@return integer? found how many there are, where it would be more
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
--- name=value behind the text, in order of the names. Control characters are escaped. Others than debug are written
--- unless --log-level says otherwise. The proxy's own lines are throttled where they repeat (20 in 10 s of each kind and
--- subject, then "8,812 more in 10 s: ..."); what a policy writes here never is.
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

---@class perilune.listen_options
---@field certificate? string PEM file with the chain; relative to the script. With `key`: TLS
---@field key? string PEM file
---@field ocsp? string DER file with the OCSP response for the certificate, to be stapled
---@field certificates? perilune.certificate_files[] further ones: the client's server name chooses, and ECDSA or RSA
--- what it can do; the first of all is for clients that name none, or one that is not there. A reload reads them anew where
--- they have changed, and `--watch` reloads then. A key that only root may read is kept over reloads once the process has
--- become its `user`, until the file changes: the start warns of such files
---@field client_verify? "off"|"optional"|"required" clients show a certificate by client_ca; "off"
---@field client_ca? string PEM file of the authorities for that
---@field min_version? "TLSv1.2"|"TLSv1.3" "TLSv1.2"
---@field head_timeout? number for a whole head, from its first byte; 30
---@field head_limit? integer bytes of a head; 65536 (431)
---@field target_limit? integer bytes of a request target; 8192 (414)
---@field fields_limit? integer fields of a head; 100 (431); of a peer's, see lenient.many_fields
---@field keepalive_timeout? number idle between two requests; 75
---@field keepalive_requests? integer per connection; 0: no limit
---@field body_timeout? number between two reads of a request body, once the client was asked for it; 60 (408)
---@field body_limit? integer bytes of a request body; 0: no limit (413)
---@field send_timeout? number a client takes nothing of its response; 60
---@field min_receive_rate? integer bytes per second that a request body must have in the long run; 240; 0: any. Waiting for
--- the client takes from a credit of body_timeout (at least 5 s), each byte gives 1/240 s back
---@field await_body? number|false a body of at most 16 KiB by its length is read before a peer is asked, so that a slow client
--- holds no connection to it; unless the client pauses for so many seconds (at most half of body_timeout): it may wait for
--- an answer. 2; false: not awaited
---@field upload_timeout? number for a whole request body, from its head on; without: none
---@field min_send_rate? integer bytes per second that a client must take, over a second or 64 KiB; 0: any
---@field tunnel_timeout? number nothing moves either way behind a 101 or a CONNECT; 600
---@field handshake_timeout? number TLS with the client; 10
---@field max_retries? integer further attempts after the first; 3
---@field drain_limit? integer bytes of a request body that are read behind an early answer, so that the connection lives on; where more is left, by its length, the answer says that it closes. A body in chunks, of which nobody knows, is read to its end, for 30 s at most; 262144
---@field abort_on_close? "hooks"|"always"|"never" when a client that ends its direction (FIN) counts as gone, and its
---exchange ends: while a hook waits, also while the peer is waited for, only with a reset; "hooks"
---@field forwarded? "replace"|"append"|"keep" what becomes of the fields by which a client says that it is a proxy: see
---below; "replace"
---@field forwarded_from? string[] networks: whom "append" believes; without: every client
---@field via? boolean add Via; true
---@field allow_connect? boolean pass CONNECT to the policy instead of 405; false
---@field max_connections? integer open at a time, all workers together; 0: as descriptors allow. Who comes then waits in the
--- kernel's queue, until a connection closes or an idle one can be given up
---@field max_connections_per_client? integer of one address (behind a PROXY header: the one that it claims); 0: any. What is
--- too much is closed at once, and counted
---@field client_ipv6_bits? integer how many leading bits of an IPv6 address are one client; 1 to 128; 64
---@field proxy_protocol? "off"|"optional"|"required" PROXY header (version 1 or 2) of the client's side; "off"
---@field proxy_protocol_from? string[] networks: who may send one; without: everybody who can connect; an empty list: nobody. Of others a connection
---is closed where it is required; where it is optional they count as clients of their own, whose header is a malformed
---request. Who may connect to a unix socket is said by the permissions of its path
---@field access_log? string|false a file, relative to the script, or "stdout", "stderr", "syslog"; false: none. Without it,
---what perilune.configure says. A log that cannot keep up drops lines, which are counted, and stalls nothing; USR1 opens
---files anew
---@field access_log_format? "combined"|"json" "combined"

--- ---------------------------------------------------------------------------------------------------------------
--- Who the client is: X-Forwarded-For and its family
---
--- The family is X-Forwarded-For and every other X-Forwarded-*, X-Real-IP and Forwarded (RFC 7239), in any case, also with
--- "_" for "-" (which programs behind CGI or WSGI cannot tell apart), and in trailers (where they never pass). Of what a
--- *client* says with them, the option `forwarded` of perilune.listen makes:
---
--- | `forwarded` | X-Forwarded-For, -Proto, -Host | Forwarded | all others of the family |
--- |---|---|---|---|
--- | "replace" | the client's address, scheme and host as we see them | ours, where the client sent one | taken away |
--- | "append" | For: our entry behind the client's; Proto, Host: the client's, else ours | our entry behind the client's | passed on; names with "_" are taken away |
--- | "keep" | as they came | as it came | as they came |
---
--- "append" believes the client: it is for listeners that only proxies of your own can reach, or with `forwarded_from`,
--- their networks (the address of the connection, or of its PROXY header): the claims of all others are then replaced.
--- What the policy itself sets, in any hook, is no claim, and stays. A client without an IP address (of a unix socket, or
--- whom a PROXY header does not name) is "unknown" there. Not of the family, and never touched: True-Client-IP,
--- CF-Connecting-IP, X-Client-IP, X-Cluster-Client-IP, X-Original-*, X-Rewrite-URL and other fields of single products. Where your
--- application believes one of them, remove it: see perilune.header_rules.

--- ---------------------------------------------------------------------------------------------------------------
--- The hooks, in the order of the walk. `ctx` is a table of the exchange's own. Every hook may wait, also inside
--- coroutines of its own. A client that goes away ends the hook that waits.
--- An error that is raised ends the exchange with 500; error { status = 403 } with that status. The log names the hook,
--- the policy's line (also behind a tail call, such as `return session:respond {...}`), the method, path, client and
--- request id (ctx.request_id, else the field X-Request-Id), and has the traceback. A table without a status is printed.
---
--- What a hook returns means the same everywhere; only the first result counts. After session:respond the request is
--- answered, also where the hook returns nothing:
---
--- | result | meaning |
--- |---|---|
--- | nothing, `nil`, `false` | the walk goes on |
--- | `session:respond {...}` | ends the walk with that answer, as long as nothing of a response has been sent: no peer is asked, no other attempt is made, and of the hooks only answer_filter and logging follow |
--- | `true` | says that it has answered: an error (500) where session:respond was not called |
--- | anything else | an error (500) that names the hook |
---
--- Some hooks are asked a question, and have further results:
---
--- | hook | further results |
--- |---|---|
--- | proxy_upstream_filter | `false`: ask no peer (502); `true`: a peer may be asked, as without a result |
--- | upstream_peer | the peer: an address, or a table; without one (or an answer): 500, or 503 where a set had no backend |
--- | fail_to_connect, error_while_proxy | none; `error.retry = true` or `false` decides about another attempt |
--- | fail_to_proxy | a status from 400 to 599 instead of the failure's |
--- | request_body_filter, upstream_response_body_filter, response_body_filter | what goes on: a string, an array of strings; nothing drops the piece. They cannot answer |
--- | response_trailer_filter, logging | none; they cannot answer. An error in logging changes nothing for the client |
--- | answer_filter | none; it cannot answer. Where it fails, the answer goes out as it was before the hook |
--- | certificate | its own: see below |
---
--- ```lua
--- function policy.upstream_peer(session)
---   if session:path() == "/closed" then return session:respond { status = 410, headers = { ["X-Why"] = "sold" } } end
---   return "127.0.0.1:8000"
--- end
--- ```

--- Asked in a TLS handshake (with it, the listener needs no certificate of its own), unless the session is resumed or
--- the answer for the name is still kept: for ttl seconds (3600), of 1024 names at most, until the next reload. Gives
--- certificate and key: file names or PEM text; nil: the listener's own; false: the handshake is refused, as it is
--- when it raises. `ctx` is its own, for there is no exchange yet. It may wait, within handshake_timeout.
---@alias perilune.certificate_hook
---| fun(hello: perilune.hello, ctx: table): string|false|nil, string?, number?

---@class perilune.hello
---@field server_name? string that the client asks for
---@field client_address string

---@class perilune.hooks
---@field certificate? perilune.certificate_hook
---@field early_request_filter? fun(session: perilune.session, ctx: table)
---@field request_filter? fun(session: perilune.session, ctx: table): true? session:respond {...}: go no further
---@field proxy_upstream_filter? fun(session: perilune.session, ctx: table): boolean? false: ask no peer (502)
---@field upstream_peer? fun(session: perilune.session, ctx: table): perilune.peer_options|string|true
---@field fail_to_connect? fun(session: perilune.session, peer: perilune.peer, ctx: table, error: perilune.error)
---@field connected_to_upstream? fun(session: perilune.session, reused: boolean, peer: perilune.peer, ctx: table)
---@field upstream_request_filter? fun(session: perilune.session, request: perilune.request, ctx: table)
---@field upstream_response_filter? fun(session: perilune.session, response: perilune.response, ctx: table) also for 1xx
---@field response_filter? fun(session: perilune.session, response: perilune.response, ctx: table)
---@field error_while_proxy? perilune.error_while_proxy
---@field fail_to_proxy? fun(session: perilune.session, error: perilune.error, ctx: table): integer? another status
---@field answer_filter? perilune.answer_filter each final head, whoever made it
---@field logging? fun(session: perilune.session, error: perilune.error?, ctx: table) always last, exactly once

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

--- The body hooks get a body piece by piece, the last one marked; it is empty where the end came alone. What they
--- return goes on instead: a string, an array of strings, or nothing, which drops the piece (so a hook that only looks
--- returns the chunk). Only the first result counts. A piece is what one read of the connection gave, 64 KiB at most;
--- its ends mean nothing, so a hook that looks for a text must keep back the end of a piece. A hook may hold
--- everything back and give the whole with the last piece. While it waits the sender waits too. Messages without a
--- body (GET, HEAD, 204, 304) do not come here; where such a hook is defined the body goes out chunked (or, for
--- HTTP/1.0, ended by the connection), without Content-Length. An error in front of everything that was sent gives
--- 500, or its status; later it cuts the message.
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
---@field request_body_filter? perilune.body_filter to the peer; each byte passes once, a retry sends what it gave
---@field upstream_response_body_filter? perilune.body_filter as the peer sends it
---@field response_body_filter? perilune.body_filter as the client gets it; behind upstream_response_body_filter
---@field response_trailer_filter? fun(session: perilune.session, trailers: perilune.message, ctx: table) once behind the
---body of each response that goes out chunked, also where the peer sent no trailers; changes them in place

--- Called when an attempt fails after it has connected; error.retry = true or false decides whether another is made, as
--- far as that is safe. To ask another backend because of a status, use the option retry_on of a set. By hand: raise
--- error { status = 503 } in upstream_response_filter, and set error.retry = true here; if no further attempt is made,
--- the client gets that status.
---@alias perilune.error_while_proxy
---| fun(session: perilune.session, peer: perilune.peer, error: perilune.error, ctx: table, reused: boolean)

--- What upstream_peer returns. Peers that are equal in all of this share spare connections.
---@class perilune.peer_options
---@field address string "1.2.3.4:443", "[::1]:80", "unix:/path", "name:80"; ":80" is localhost
---@field tls? boolean
---@field sni? string the server name for TLS; without: the address's host, where that is a name
---@field verify? boolean false: any certificate will do
---@field verify_name? string the name the certificate must be for, where it is not the SNI
---@field ca? string PEM file of trusted authorities, relative to the script; without: the system's. Changed files, of these
--- and the next two, are loaded anew within two seconds; what cannot be loaded leaves the old ones in use
---@field certificate? string PEM file: who the proxy is, for peers that ask; with `key`
---@field key? string PEM file
---@field min_version? "TLSv1.2"|"TLSv1.3" "TLSv1.2"
---@field alpn? "http/1.1"|"none" the protocol that is offered; "http/1.1"
---@field group? string separates the spare connections of otherwise equal peers
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" of a name's addresses; "any": both, IPv6 first, the next one after 250 ms or
--- at once where one fails, the first to connect is used
---@field connect_timeout? number name lookup and TCP together; 5 (504)
---@field handshake_timeout? number TLS; 10 (504)
---@field first_byte_timeout? number from the request's end to the response's head, and anew behind an interim
--- response, at most three times in all; also to a 100 that the client waits for; 60 (504)
---@field read_timeout? number between two reads of the response; 60 (504)
---@field send_timeout? number the peer takes nothing of the request; 60 (504)
---@field idle_timeout? number|false how long a spare connection is kept; 55; false: not at all
---@field max_idle? integer spare connections that a worker keeps to it for longer than a second (to all peers: 1024), 1 or more; none are kept at all with idle_timeout = false; 256
---@field hedge? number seconds; without an answer for so long, upstream_peer is asked again, and its peer beside this
--- one: the first answer counts. For idempotent methods without a body, once per request, out of the set's retry
--- budget; without: never
---@field proxy_protocol? 0|1|2 the PROXY header of that version goes first on each new connection
---@field lenient? perilune.lenient what its responses may do although RFC 9112 does not allow it

--- Deviations of a peer's responses, each by its name: `lenient = { bare_lf = true, odd_status = false }`, or a list of
--- those that are taken. What is not named stays as it is from the start: on where its meaning is in no doubt, off where
--- two parties could see the end of a response, or of a field, in two places (an origin that can be made to write such
--- bytes could then be made to write a response of somebody else's, which the next client gets). What the client gets is
--- written anew and has none of them. Requests are read strictly, always.
---
--- White space before the colon of a response's field is always removed (RFC 9112 section 5.1).
---@class perilune.lenient
---@field chunk_padding? boolean white space behind the size of a chunk or its extension: "1f4    "; on
---@field odd_status? boolean a status from 600 to 999, which goes on as it is; on
---@field many_fields? boolean up to 1,000 fields in a head, where the listener's fields_limit is lower; on. The head's
--- size stays limited by head_limit
---@field bare_lf? boolean lines of a head that end with LF alone; off. The risk: an origin that lets LF into a value lets
--- whoever chose the value write fields and responses
---@field obs_fold? boolean a field that goes on in the next line, which begins with white space: it becomes one line; off.
--- The risk: the origin, or a proxy before it, meant a field of its own
---@field both_lengths? boolean Content-Length beside chunked: the chunks count, Content-Length goes, the connection is not
--- used again; off. The risk: a response that somebody slipped between the two ends
---@field no_close_notify? boolean TLS that ends without close_notify, where the end of the connection is that of the
--- body; off. The risk: somebody in between cuts the body short and nobody sees it. Needs tls = true

--- The peer of an attempt, as hooks are told it. tostring() gives the address.
---@class perilune.peer
---@field address string
---@field tls boolean
---@field sni? string
---@field group? string

--- ---------------------------------------------------------------------------------------------------------------
--- session: one exchange. Used after its end it raises. The getters work in every phase. What belongs to the exchange is
--- kept in ctx: a session is no key for tables, since another exchange may have an equal one later.
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

--- The first value of a field of the client's request. Names are compared without case. Fields of the connection to the
--- client are not forwarded and not in headers(), but two can be read: "Upgrade" is what is passed on of the protocols
--- that the client asks for ("websocket"); "Connection" is then "upgrade", or "close" if the client ends the connection.
---@param name string
---@return string?
function session:get_header(name) end
--- All values of it.
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

--- The whole body of the request, "" where there is none; it waits until it is here. All attempts send it all the same.
--- More than `limit` bytes give 413. Before a peer is asked: early_request_filter, request_filter, proxy_upstream_filter,
--- upstream_peer.
---@param limit? integer bytes; 1048576
---@return string
function session:read_body(limit) end
--- Another body for all attempts, with its length. Behind read_body, or for a request without a body.
---@param text string
function session:set_body(text) end

---@return string address "1.2.3.4:5678" of the client; "unix:" of a unix socket (never its path), "unknown" where a PROXY
---header spoke for a client without an IP address
function session:client_address() end
---@return string ip without the port; "unix:" or "unknown" as above
function session:client_ip() end
---@return string? address of ours that the client is connected to; nil once it is gone
function session:server_address() end
---@return perilune.tls_facts? tls of the client's connection; nil without
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
---@return integer count further calls of upstream_peer that there may be
function session:retries_left() end
---@return string? kind of what failed last, also where another attempt followed; nil: nothing did
function session:last_failure() end
---@return perilune.tls_facts? tls of the connection to the peer; nil before and after it, and without TLS
function session:upstream_tls() end

---@return number bytes of the request's body so far
function session:request_bytes() end
---@return number bytes of the response's body so far
function session:body_bytes() end
---@return number seconds since the head arrived; in logging: of the whole exchange
function session:duration() end
--- Seconds, of the last attempt: connect (TCP and TLS; 0 of a spare connection), first_byte (from then to the
--- response's head), response (from then on); and in total. What was not reached is missing.
---@return { connect?: number, first_byte?: number, response?: number, total: number }
function session:timings() end
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
---@field resumed? boolean is it an earlier session, gone on with?
---@field client? perilune.client_certificate that a client has shown, and that is good


--- Answers instead of a peer. In every phase but logging and those of bodies, until the response has begun. Returns
--- true, so that a hook can `return session:respond {...}`: that ends the walk.
---@param answer perilune.answer
---@return true
function session:respond(answer) end

--- The client's connection closes behind this response. Until the response has begun.
function session:set_close() end

--- The backend of this attempt has failed, whatever it has answered: for what only the policy can tell, such as an error
--- inside a 200. Passive checks count it. Before the end of the response, in any hook but logging. An answer of 500, 502,
--- 503 or 504 counts by itself, also where a hook raises because of it.
---@return boolean counted false where no backend of a set is asked just now
function session:report_failure() end

--- Adds a field of your own to the request's line in the access log, if that is JSON (access_log_format); nil takes it
--- away again. The line's own texts client, host, target, referer and user_agent can be replaced, for instance to leave
--- out a secret, or taken away by nil; that works in the combined format, too. In every phase, the last in logging: the
--- line is written after it. At most 16; a text is cut at some 1,000 characters.
---
--- ```lua
--- function policy.request_filter(session)
---   session:set_log_field("tenant", session:get_header "X-Tenant")
--- end
--- ```
---@param name string letters, digits, "_", "-" and "."; no other name that the line has of itself
---@param value string|number|boolean|nil
function session:set_log_field(name, value) end

---@class perilune.answer
---@field status integer 200 to 599
---@field reason? string
---@field headers? table<string, string|number|(string|number)[]> Content-Length and the like are written by the proxy
---@field body? string
---@field close? boolean close the client's connection behind it

--- ---------------------------------------------------------------------------------------------------------------
--- request and response: what filters edit. Fields keep their order. Names and values are checked: CR, LF, NUL raise;
--- Content-Length and Transfer-Encoding can be read, and so can Upgrade, and Connection as far as it says "upgrade" or
--- "close". Setting any of them raises, as for all fields that frame a message or belong to one connection.
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
--- for name, value in request:headers() do ... end: as they were when it was called, so the loop may change them.
---@return fun(): string?, string?
function message:headers() end
--- Replaces all fields of that name: in the place of the first; an array of values goes to the end.
--- Numbers are written so that they read back as the same: 1234567890123456. A request has one Host, which must be valid:
--- another one, or a second, raises.
---@param name string
---@param value string|number|(string|number)[]
function message:set_header(name, value) end
---@param name string
---@param value string|number|(string|number)[]
function message:add_header(name, value) end
---@param name string
---@return integer count how many there were
function message:remove_header(name) end

--- To be changed in upstream_request_filter; that of session:request() before a peer is asked.
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
--- Another method, for all attempts; before a peer is asked, so not for the request that upstream_request_filter gets.
--- HEAD, CONNECT and TRACE cannot be set, nor changed: the end of the response depends on them. Whether a request may be
--- sent twice follows from the new method.
---@param method string one word, such as "PATCH"
function request:set_method(method) end
--- Another path and query.
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
--- Another status; not between those that have a body and those that have none (1xx, 204, 304).
---@param status integer
---@param reason? string the usual one without
function response:set_status(status, reason) end

--- ---------------------------------------------------------------------------------------------------------------
--- error: what went wrong. tostring() gives its text.
---
--- ```lua
--- function policy.fail_to_connect(session, peer, ctx, error)
---   perilune.log.warn("no connection", { peer = peer.address, why = error:text() })
---   error.retry = session:attempts() < 3
--- end
--- ```

--- What this machine lacks is nobody's fault: `local_shortage` (no descriptor, no memory) and `no_port` (EADDRNOTAVAIL)
--- are of side internal. They are waited for first, for as long as connect_timeout, and count against no backend and no
--- retry budget; nor does an error of the policy.
---@class perilune.error
---@field retry? boolean set it in fail_to_connect or error_while_proxy, to decide about another attempt
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
--- | `resolve_failed` | upstream | 502 | the peer's name could not be resolved |
--- | `connect_refused` | upstream | 502 | the peer refused the connection |
--- | `connect_failed` | upstream | 502 | could not connect to the peer |
--- | `connect_timeout` | upstream | 504 | connecting to the peer took too long |
--- | `tls_failed` | upstream | 502 | TLS handshake with the peer failed |
--- | `tls_timeout` | upstream | 504 | TLS handshake with the peer took too long |
--- | `certificate` | upstream | 502 | the peer's certificate was not accepted |
--- | `upstream_closed` | upstream | 502 | the peer closed before it answered |
--- | `upstream_write` | upstream | 502 | sending the request to the peer failed |
--- | `upstream_send_timeout` | upstream | 504 | the peer stopped reading |
--- | `first_byte_timeout` | upstream | 504 | the peer did not answer in time |
--- | `read_timeout` | upstream | 504 | the peer stalled in mid-response |
--- | `bad_response` | upstream | 502 | malformed response |
--- | `response_truncated` | upstream | 502 | the peer ended in mid-response |
--- | `response_coding` | upstream | 502 | the response body is not what its coding says |
--- | `response_too_large` | upstream | 502 | the decoded response is out of all proportion |
--- | `upstream_refused` | internal | 502 | the policy refused to ask a peer |
--- | `no_backend` | internal | 503 | no healthy backend |
--- | `overloaded` | internal | 503 | all backends are at their limits |
--- | `local_shortage` | internal | 503 | this machine has no descriptor or memory left |
--- | `no_port` | internal | 503 | this machine has no port left for a connection to the peer |
--- | `bad_peer` | internal | 500 | upstream_peer gave no usable peer |
--- | `script` | internal | 500 | the policy raised an error |
--- | `script_timeout` | internal | 504 | the policy used up its time |
--- | `unsafe_head` | internal | 500 | a head that must not be written as it is |
--- | `stopping` | internal | 503 | the proxy is stopping |
---@return string kind "connect_refused", "first_byte_timeout", ...
function failure:kind() end
---@return "downstream"|"upstream"|"internal" side whose fault it is
function failure:side() end
---@return string text a sentence for people
function failure:text() end
---@return integer status that it stands for; 0: no answer is possible
function failure:status() end
---@return boolean retryable is another attempt made, if the policy does not decide?
function failure:retryable() end

--- ---------------------------------------------------------------------------------------------------------------
--- Sets of backends. They differ in how they choose:
---   perilune.round_robin          in turn, by weight; one turn for all workers
---   perilune.smooth_round_robin   in turn, by weight, the turns of heavy ones spread evenly
---   perilune.random               by chance and weight
---   perilune.hash                 by a key and weight
---   perilune.consistent_hash      by a key; when a backend goes, only its keys move (as nginx does it)
---   perilune.bounded_hash         the same, but none gets more than 5/4 of its share of the requests under way
---   perilune.least_connections    the fewest requests under way, by weight
---   perilune.least_latency        of two by chance the one with less latency times requests under way
---
--- ```lua
--- local upstreams = require("perilune.least_connections").new {
---   { address = "127.0.0.1:8000", weight = 2 }, { address = "127.0.0.1:8001", backup = true },
---   passive = { failures = 3 }, max_in_flight = 100,
--- }
--- function policy.upstream_peer() return upstreams:select() end
--- ```

---@class perilune.balancer
local balancer = {}

---@class perilune.backend_entry
---@field address string
---@field weight? integer 1 to 65535; 1
---@field zone? string where it stands
---@field backup? boolean used only where no other backend serves; the same as priority = 1
---@field priority? integer 0 to 15, 0 is used first; 0

--- The list of backends: addresses or tables, and beside them options.
---@class perilune.backend_list
---@field [integer] string|perilune.backend_entry
---@field name? string a reload finds the set again, whatever its place among others
---@field zone? string backends of this zone are preferred to others of the same priority
---@field slow_start? number the share of a backend that came back grows for so long
---@field panic? number with a smaller share of fit backends, the unfit are used too; without: never
---@field max_in_flight? integer requests under way at a backend; beyond: others, then 503 with Retry-After
---@field max_pending? integer of these, without a connection so far
---@field passive? perilune.passive_check|false what requests tell of a backend takes it out; on; false: never
---@field retry_on? (integer|"failure")[]|false what another backend is asked for, see below; { "failure", 500, 502, 503, 504 }
---@field retry_budget? perilune.retry_budget|false false: no limit

--- By default a set passes over what fails, as `perilune proxy` does:
---
--- * An address that the exchange has asked is not chosen again while another is left, for a retry or for a hedge.
--- * A connection that fails, and a kept connection that its peer had closed, cost no request: another is tried.
--- * Where a request may be sent twice (GET, HEAD, OPTIONS, PUT, DELETE, TRACE) another backend is asked when the first
---   gives no answer ("failure": it closes, resets, breaks its head or is too late), or, for a request without a body,
---   answers with a status of `retry_on` (401, 403, 404, 408, 425, 429, 500 to 504 can be there). That stays so until one
---   has a better answer, none is left, or max_retries is reached; then the client gets the last answer that there was.
---   No filter of responses sees those that were passed over. A response of which the client has got a part cannot be
---   mended: it is cut.
--- * Passive checks take a backend out. With `error_while_proxy` the policy can retry more, or less.
---
--- Retries are at most a share of the requests under way (retry_budget), so that an outage does not multiply the load.

--- A failure is an error of the backend (connect_refused, first_byte_timeout, ...) or an answer of 5xx, but for 501 and
--- 505, which blame the request.
---@class perilune.passive_check
---@field failures? integer in a row; 5; 0: any number
---@field error_share? number of the requests in a window; without: any
---@field window? number 10
---@field min_requests? integer in a window, for the share to say something; 20
---@field eject? number how long it is taken out the first time; then twice as long, and so on; 10
---@field eject_most? number up to; 300
---@field eject_share? number of the set, taken out at once, at most; 0.5

--- Where it is not given: half of the requests, and 10 in any case; and free are retries of what no backend has handled,
--- and of what was under way at a backend that is ejected by now.
--- Where it is given, they count, too.
---@class perilune.retry_budget
---@field share? number retries under way, of the requests under way; 0.2
---@field min? integer that many in any case; 3

--- A set that all workers share.
---@param list perilune.backend_list
---@return perilune.backend_set
function balancer.new(list) end

---@class perilune.backend_set
local backend_set = {}
--- The next backend: its address and its position. Nil and why where there is none; upstream_peer then gives 503.
--- An attempt at this address is counted at the backend until it ends.
---@param key? string what hashes choose by
---@param options? { exclude: string|string[] } addresses not to choose. Those that the exchange has asked already are
--- passed over anyway, while another is left
---@return string? address, integer|string position_or_message
function backend_set:select(key, options) end
--- Takes a new list into use, for all workers; who stays keeps health, counts and latency. In hooks and background work.
---@param list (string|perilune.backend_entry)[]
---@return true?, string? message what is wrong with the list; the old one stays then
function backend_set:update(list) end
---@return string[]
function backend_set:addresses() end
--- How many are fit and enabled.
---@return integer
function backend_set:ready_count() end
--- As its active checks say.
---@param backend integer|string position or address
---@return boolean
function backend_set:is_healthy(backend) end
--- Healthy, and not taken out by passive checks.
---@param backend integer|string
---@return boolean
function backend_set:is_fit(backend) end
---@param backend integer|string
---@return boolean
function backend_set:is_enabled(backend) end
--- One more failure, as of a request that failed: the rules of `passive` say what follows. In a hook of a request that
--- the backend itself answers, use session:report_failure(): a request that is served ends a row of failures.
---@param backend integer|string
function backend_set:report_failure(backend) end
--- Takes a backend out, or back in, whatever its health.
---@param backend integer|string
---@param enabled boolean
function backend_set:set_enabled(backend, enabled) end
--- Requests under way at it, of all workers.
---@param backend integer|string
---@return integer
function backend_set:in_flight(backend) end
--- How long its responses take to begin: an average that follows peaks at once. 0: nothing is known.
---@param backend integer|string
---@return number seconds
function backend_set:latency(backend) end

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.discovery": where the backends of a set come from, while it runs. The control worker asks for all;
--- where the source fails, or has no backends, the last list stays and a line says why.

---@class perilune.discovery
local discovery = {}

---@class perilune.dns_discovery_options
---@field interval? number how often name servers are asked; without: when the answer's time to live is over
---@field least? number without interval: never more often than this; 1
---@field most? number without interval: never less often than this; 300
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" of discovery.dns; "any"

--- The addresses (A, AAAA) of "name:80".
---@param set perilune.backend_set
---@param address string
---@param options? perilune.dns_discovery_options
function discovery.dns(set, address, options) end

--- The services (SRV) of a name like "_http._tcp.example.org", with their weights and priorities.
---@param set perilune.backend_set
---@param name string
---@param options? perilune.dns_discovery_options
function discovery.srv(set, name, options) end

--- A file with a backend a line: "10.0.0.1:80 weight=3 zone=a priority=1", "10.0.0.2:80 backup", "# a comment".
---@param set perilune.backend_set
---@param path string relative to the script
---@param options? { interval: number } how often it is looked at; 1
function discovery.file(set, path, options) end

--- What a function gives every so many seconds: a list, or nil and why there is none. It may wait.
---@param set perilune.backend_set
---@param seconds number
---@param fn fun(): (string|perilune.backend_entry)[]?, string?
function discovery.every(set, seconds, fn) end

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.dns": in hooks and background work.
---
--- What name servers say is kept, in each worker, for its time to live (1 s at least, an hour at most), that there is no
--- such name for as long as the server says (a minute at most), and asked for once, however many want it at once: for
--- the names of peers, perilune.http, perilune.tcp, health checks and this module alike. Where all servers are silent,
--- what they said last is used for ten more minutes. A server that does not answer within 0.4 s is followed by the next one,
--- and is asked last for the 30 s after that. A peer's IPv4 addresses are used 50 ms after they came, where nobody
--- answers for IPv6 (RFC 8305), and the other way round. Of several addresses the next one is tried after 250 ms, or at
--- once where one fails; one that failed comes last for a minute, and the others take turns. resolv.conf and the hosts
--- file are read again when they have changed; other servers begin with nothing kept.

---@class perilune.dns
local dns = {}

---@class perilune.dns_options
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" of dns.addresses; "any"
---@field fresh? boolean true: a server is asked, even where its last answer still holds

--- The addresses of "name:80", as "1.2.3.4:80", in the order to try, and for how many seconds they hold (0: nobody said).
---@param address string
---@param options? perilune.dns_options
---@return string[]?, integer|string ttl_or_message
function dns.addresses(address, options) end

---@class perilune.service
---@field address string "name:80"
---@field priority integer
---@field weight integer

--- The SRV records of a name like "_http._tcp.example.org", and for how many seconds they hold.
---@param name string
---@param options? perilune.dns_options
---@return perilune.service[]?, integer|string ttl_or_message
function dns.services(name, options) end

--- Asks these servers instead of the system's: "10.0.0.2", "127.0.0.1:5353,[::1]"; also for the names of peers. Only in the
--- main chunk: once the policy is in force all its workers ask them, and the system's again once one is that names none.
---@param servers string
function dns.set_servers(servers) end

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.health_check"
---
--- ```lua
--- local upstreams = require("perilune.round_robin").new { "127.0.0.1:8000", "127.0.0.1:8001" }
--- require("perilune.health_check").http(upstreams, { path = "/health", interval = 5, failures = 2 })
--- function policy.upstream_peer() return upstreams:select() end
--- ```

---@class perilune.health_check
local health_check = {}

---@class perilune.check_options
---@field interval? number from one check's beginning to the next; 1
---@field jitter? number a share of the interval: each check begins up to so much later; 0.1
---@field timeout? number of a check as a whole; 1
---@field successes? integer in a row, until an unhealthy backend is healthy; 1
---@field failures? integer in a row, until a healthy one is unhealthy; 1
---@field start? "healthy"|"unhealthy" what a backend is before its first check; "healthy"
---@field on_change? fun(address: string, healthy: boolean, why: string?) in the control worker
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" of a backend that is a name; "any"

---@class perilune.tcp_check_options: perilune.check_options
---@field port? integer instead of the backend's own
---@field tls? boolean
---@field sni? string
---@field verify? boolean
---@field verify_name? string
---@field ca? string

---@class perilune.http_check_options: perilune.tcp_check_options
---@field path? string "/"
---@field host? string the field Host; the backend's address
---@field method? string "GET"
---@field headers? table<string, string>
---@field statuses? (integer|string)[] numbers, and ranges like "200-299"; { 200 }
---@field body? string a Lua pattern that the body must hold
---@field limit? integer how many bytes of the body are looked at, and read; 65536
---@field lenient? perilune.lenient as of a peer, without no_close_notify

--- Checks all backends, side by side, in the control worker: can they be connected to? The first check is made at once.
---@param upstreams perilune.backend_set
---@param options? perilune.tcp_check_options
function health_check.tcp(upstreams, options) end

--- The same, with a TLS handshake.
---@param upstreams perilune.backend_set
---@param options? perilune.tcp_check_options
function health_check.tls(upstreams, options) end

--- Do they answer a request as expected? Not over TLS without tls = true.
---@param upstreams perilune.backend_set
---@param options? perilune.http_check_options
function health_check.http(upstreams, options) end

--- Does a function say so? It may wait.
---@param upstreams perilune.backend_set
---@param check fun(address: string): boolean?, string? false or nil: unhealthy, and why. An error that it raises, and what this
--- machine lacks, say nothing of the backend: they are logged once, and its health stays as it is
---@param options? perilune.check_options
function health_check.with(upstreams, check, options) end

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.rate_limit"
---
--- Counts are exact, in a table for all workers, of a size that `keys` sets: nobody is refused who is within the limit,
--- whatever the number of keys. With more keys at once than there is room for, some count is forgotten, so that too much
--- may pass. The keys share places: sixteen a place for new, eight for sliding and bucket. Where a place is full, new
--- forgets the key with the lowest count, sliding and bucket the key that has used the least of its limit. So a flood of random keys pushes out one another, and the other counts of a place stay: to
--- have a count of n forgotten takes about n * keys requests in a window. concurrency never forgets; what it has no room
--- for is let pass. Memory is 32 bytes a key (new; 24 for sliding and bucket, 48 for concurrency), rounded up to a power of
--- two, and is taken as keys come. perilune status and the metrics perilune_limit_* tell it, and how often there was no
--- room. With other rules (of `new`: interval or keys) than before, a reload begins a limit anew.
---
--- ```lua
--- local limit = require("perilune.rate_limit").sliding { by = "address", max = 100, interval = 60, name = "all" }
--- function policy.request_filter(session, ctx) return limit(session, ctx) end
--- function policy.response_filter(session, response, ctx) limit:tell(response, ctx) end
--- ```

---@class perilune.rate_limit
local rate_limit = {}

---@class perilune.rate_limit_options
---@field header? string the field whose value is the key, or
---@field by? "address"|"path"|"host" of IPv6 addresses the network of 64 bits; or
---@field key? fun(session: perilune.session, ctx?: table): string? the key; nil: not limited. `ctx` is what the limit
--- was called with, for keys such as ctx.claims.sub
---@field max integer requests per interval and key
---@field interval? number 1
---@field name? string finds the counts again after a reload; the policy's name in RateLimit-Policy
---@field fields? "x"|"draft"|"both"|"none" X-Rate-Limit-*, or RateLimit and RateLimit-Policy of the IETF's draft; "x"
---@field close? boolean the connection of a client that has gone too far; true
---@field keys? integer how many there is room for, about; 1 to 67108864, within half of the machine's memory; 65536

---@class perilune.bucket_options: perilune.rate_limit_options
---@field burst? integer at once; max

--- Call it in request_filter with the session (and the ctx): it counts a request, answers 429 where it is one too many,
--- and then returns true.
---@class perilune.limit
---@overload fun(session: perilune.session, ctx?: table): boolean
local limit = {}
--- For response_filter or answer_filter: tells a client that may go on how many more it has. request_filter must have given
--- its ctx.
---@param response perilune.response
---@param ctx table
function limit:tell(response, ctx) end

--- Fixed windows, which begin with the first request after the last one's end.
---@param options perilune.rate_limit_options
---@return perilune.limit
function rate_limit.new(options) end

--- Any window of that length: the last one is counted in part. What does not pass is not counted.
---@param options perilune.rate_limit_options
---@return perilune.limit
function rate_limit.sliding(options) end

--- Evenly, one in each max-th of the interval, and a burst of some at once (GCRA).
---@param options perilune.bucket_options
---@return perilune.limit
function rate_limit.bucket(options) end

--- Under way at the same time. No interval; `name` is required.
---@param options perilune.rate_limit_options
---@return perilune.limit
function rate_limit.concurrency(options) end

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.tcp": in hooks and background work
---
--- ```lua
--- function policy.request_filter(session)
---   local socket, why = perilune.tcp.connect("127.0.0.1:6379", { timeout = 0.5 })
---   if not socket then return session:respond { status = 503, body = why } end
---   socket:send { "INCR ", session:client_ip(), "\r\n" }
---   local line = socket:receive()                                      -- ":7"
---   socket:keep()                                                      -- for the next request
---   if line and tonumber(line:match "%d+") > 100 then return session:respond { status = 429 } end
--- end
--- ```

---@class perilune.tcp
local tcp = {}

---@class perilune.tcp_options
---@field timeout? number for each of TCP, TLS, a send, a receive; 5
---@field connect_timeout? number
---@field send_timeout? number
---@field receive_timeout? number
---@field tls? boolean
---@field sni? string without: the address's host, where that is a name
---@field verify? boolean false: any certificate will do
---@field verify_name? string
---@field ca? string PEM file, relative to the script; without: the system's
---@field pool? string keeps spare connections apart that differ in state (a user, a database)
---@field fresh? boolean no spare connection
---@field one_way? boolean the other side answers nothing, so socket:keep wants no receive after a send; false
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" of a name's addresses; "any"

--- Takes a spare connection, else connects: "1.2.3.4:80", "[::1]:80", "unix:/path", "name:80". A spare connection is
--- taken only if its address, its TLS options, its pool and one_way are the same.
---@param address string
---@param options? perilune.tcp_options
---@return perilune.socket?, string? message, string? kind of the error, as error:kind() has it
function tcp.connect(address, options) end

--- Connects anew, and closes.
---@param address string
---@param options? perilune.tcp_options
---@return true?, string? message, string? kind of the error
function tcp.check(address, options) end

--- Calls wait without blocking anything else. What can fail returns nil and a message: "timeout", "closed", or a sentence.
---@class perilune.socket
local socket = {}
---@param data string|string[] an array is sent as one
---@return true?, string? message
function socket:send(data) end
--- A line without its end (LF or CRLF), all until the other side closes, what is there (as soon as something is), or so
--- many bytes.
---@param what? "line"|"all"|"any"|integer "line"
---@param limit? integer bytes at most, of a line or of all
---@return string?, string? message, string? partial what had come before it failed
function socket:receive(what, limit) end
--- Of each call.
---@param send number seconds
---@param receive? number the same
function socket:set_timeouts(send, receive) end
---@return integer count how often it came out of the pool
function socket:reused() end
--- Returns the connection to the pool for the next tcp.connect. Do not use it afterwards. It is closed instead where an
--- answer may still come, which the next user would take for its own: something is unread, a receive or a send has
--- failed, nothing was received after the last send (see one_way), or the other side has closed.
---@param seconds? number how long it may wait there; 55
---@param most? integer how many like it the pool keeps, for each worker; 32
---@return true?, string? message why it was closed instead
function socket:keep(seconds, most) end
function socket:close() end

return perilune
