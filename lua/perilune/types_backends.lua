-- SPDX-License-Identifier: Apache-2.0
-- Sets of backends and what belongs to them, limits and TCP, as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- Sets of backends. They differ in how they choose:
---   perilune.round_robin          in turn, by weight; one turn for all workers
---   perilune.smooth_round_robin   in turn, by weight; the turns of heavy backends are spread evenly
---   perilune.random               at random, by weight
---   perilune.hash                 by a key and weight
---   perilune.consistent_hash      by a key; if a backend is removed, only its keys move (as in nginx)
---   perilune.bounded_hash         the same, but no backend gets more than 5/4 of its share of the current requests
---   perilune.least_connections    the fewest current requests, by weight
---   perilune.least_latency        of two at random, the one with the lower product of latency and current requests
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
---@field zone? string where it is located
---@field backup? boolean used only if no other backend serves; the same as priority = 1
---@field priority? integer 0 to 15, 0 is used first; 0

--- The list of backends: addresses or tables; options are named fields of the same table.
---@class perilune.backend_list
---@field [integer] string|perilune.backend_entry
---@field name? string a reload finds the set by this name, even if the order of the sets has changed
---@field zone? string backends of this zone are preferred to others of the same priority
---@field slow_start? perilune.duration seconds in which the share of a backend that came back grows to its full size
---@field panic? number if the share of fit backends is smaller than this, the unfit are used too; without: never
---@field max_in_flight? integer current requests at a backend; above that other backends are used, then 503 with Retry-After
---@field max_pending? integer how many of these may still be waiting for a connection
---@field passive? perilune.passive_check|false failed requests take a backend out; on; false: never
---@field retry_on? (integer|"failure")[]|false failures and statuses for which another backend is asked, see below; { "failure", 500, 502, 503, 504 }
---@field retry_budget? perilune.retry_budget|false false: no limit

--- By default, a set works around failures, as `perilune proxy` does:
---
--- * A retry or a hedge does not choose an address that the exchange has already asked, while another one is left.
--- * If a connection fails, or the peer had closed a spare connection, another backend is tried: no request fails.
--- * If a request may be sent twice (GET, HEAD, OPTIONS, PUT, DELETE, TRACE), another backend is asked when the first gives
---   no answer ("failure": it closes, resets, sends a broken head or is too late). For a request without a body, another
---   backend is also asked if the first answers with a status in `retry_on` (401, 403, 404, 408, 425, 429 and 500 to 504
---   are possible). This goes on until a backend has a better answer, none is left, or max_retries is reached; then the
---   client gets the last answer. Response filters do not see the answers before it. A response that the client has
---   received in part cannot be replaced: it is cut off.
--- * Before each of these retries the policy is asked. In `fail_to_connect` and `error_while_proxy`, error.retry = false
---   forbids it; for a status in `retry_on` the kind of error is `answered_error`. After a failure, error.retry = true
---   retries where the set would not.
--- * Passive checks take a backend out.
---
--- Retries are limited to a share of the current requests (retry_budget), so that an outage does not multiply the load.

--- A failure is an error of the backend (connect_refused, first_byte_timeout, ...) or a 5xx answer, except 501 and 505,
--- which are about the request.
---@class perilune.passive_check
---@field failures? integer in a row; 5; 0: any number
---@field error_share? number failed share of the requests in a window; without: any
---@field window? perilune.duration 10
---@field min_requests? integer requests that a window needs before the share counts; 20
---@field eject? perilune.duration seconds that it is taken out the first time; each further time twice as long; 10
---@field eject_most? perilune.duration seconds at most; 300
---@field eject_share? number at most this share of the set is out at the same time; 0.5

--- Without this option: half of the current requests, and at least 10. Two kinds of retries are then free: of requests
--- that no backend has handled, and of requests that were at a backend which has been ejected since. With this option they
--- count, too.
---@class perilune.retry_budget
---@field share? number current retries as a share of the current requests; 0.2
---@field min? integer this many are always allowed; 3

--- A set that all workers share.
---@param list perilune.backend_list
---@return perilune.backend_set
function balancer.new(list) end

---@class perilune.backend_set
local backend_set = {}
--- Returns the address of the next backend and its position in the list, or nil and why there is none; if upstream_peer
--- returns that nil, the request gets 503. An attempt at this address is counted at the backend until it ends.
---@param key? string for sets that choose by a key
---@param options? { exclude: string|string[] } addresses not to choose. Those that the exchange has already asked
--- are avoided anyway, while another is left
---@return string? address, integer|string position_or_message
function backend_set:select(key, options) end
--- Replaces the list, for all workers. Backends in both lists keep their health, counts and latency. In hooks and
--- background work.
---@param list (string|perilune.backend_entry)[]
---@return true?, string? message what is wrong with the list; the old one stays then
function backend_set:update(list) end
---@return string[]
function backend_set:addresses() end
--- How many are fit and enabled.
---@return integer
function backend_set:ready_count() end
--- Do its active checks say that it is healthy?
---@param backend integer|string position or address
---@return boolean
function backend_set:is_healthy(backend) end
--- Is it healthy, and not taken out by passive checks?
---@param backend integer|string
---@return boolean
function backend_set:is_fit(backend) end
--- False: the policy (set_enabled) or people (`perilune backend`) have taken it out.
---@param backend integer|string
---@return boolean
function backend_set:is_enabled(backend) end
--- Counts a failure of the backend, as if a request had failed; `passive` says what follows. In a hook of a request that
--- this backend answers, use session:report_failure() instead: the served request would otherwise end the series of
--- failures.
---@param backend integer|string
function backend_set:report_failure(backend) end
--- Takes a backend out, or puts it back in, whatever its health. One that people have drained or disabled by
--- `perilune backend` stays out.
---@param backend integer|string
---@param enabled boolean
function backend_set:set_enabled(backend, enabled) end
--- How many requests it is serving, for all workers together.
---@param backend integer|string
---@return integer
function backend_set:in_flight(backend) end
--- How long it takes until its responses begin: an average that rises at once with a peak. 0: unknown.
---@param backend integer|string
---@return number seconds
function backend_set:latency(backend) end

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.discovery": where the backends of a set come from, while it runs. The control worker asks for all;
--- where the source fails, or has no backends, the last list stays and a line says why. `perilune status`, status.json and
--- the metrics `perilune_discovery_*` say how old each list is.
---
--- etcd, Consul and Kubernetes tell of changes themselves: there is one watch for each call, whatever the number of
--- workers. A single backend that cannot be used is left out, and a line says which. See docs/fleet.md.

---@class perilune.discovery
local discovery = {}

---@class perilune.discovery_options
---@field cache? string a file, relative to the script, where the last list is kept: a proxy that starts while the source is away begins with it
---@field empty? "keep"|"take" what becomes of an empty list: the last one stays, or the set is empty; "keep"

---@class perilune.dns_discovery_options: perilune.discovery_options
---@field interval? perilune.duration how often name servers are asked; without: when the answer's time to live is over
---@field least? perilune.duration without interval: never more often than this; 1
---@field most? perilune.duration without interval: never less often than this; 300
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

---@class perilune.file_discovery_options: perilune.discovery_options
---@field interval? perilune.duration between two looks at the file; 1

--- A file with one backend on each line: "10.0.0.1:80 weight=3 zone=a priority=1", "10.0.0.2:80 backup", "# a comment".
---@param set perilune.backend_set
---@param path string relative to the script
---@param options? perilune.file_discovery_options
function discovery.file(set, path, options) end

--- Calls a function every `seconds` seconds; it returns a list, or nil and why there is none. It may wait.
---@param set perilune.backend_set
---@param seconds number
---@param fn fun(): (string|perilune.backend_entry)[]?, string?
---@param options? perilune.discovery_options
function discovery.every(set, seconds, fn, options) end

---@class perilune.watch_options: perilune.discovery_options
---@field timeout? perilune.duration to connect, and until an answer begins; 5
---@field token_file? string a file whose token is sent as `Authorization: Bearer`; it is read again when it changes
---@field ca? string PEM file of trusted CAs; the system's
---@field certificate? string PEM file: who we are, for servers that ask; with `key`
---@field key? string PEM file
---@field sni? string
---@field verify? boolean false: accept any certificate
---@field verify_name? string

---@class perilune.etcd_options: perilune.watch_options
---@field endpoints? string|string[] URLs of the members of one cluster; "http://127.0.0.1:2379"
---@field user? string with `password`: for an etcd that asks for them
---@field password? string
---@field silence? perilune.duration without a byte for so long, the watch begins anew; 45
---@field entry? fun(key: string, value: string): string|perilune.backend_entry|nil, string? the backend of a key, where its value is another form; nil: it is none, or with a sentence: it cannot be used

--- The keys of etcd (v3, 3.4 or later) under a prefix, one backend each. Its value is a line as in discovery.file, or JSON:
--- { "address": "10.0.0.1:80", "weight": 3 } or { "Addr": "10.0.0.1:80" }; where it is empty, the key's last part is the
--- address.
---@param set perilune.backend_set
---@param prefix string "/services/app/"
---@param options? perilune.etcd_options
function discovery.etcd(set, prefix, options) end

---@class perilune.consul_options: perilune.watch_options
---@field address? string URL of the agent or a server; "http://127.0.0.1:8500"
---@field tag? string only instances with this tag
---@field datacenter? string
---@field passing? boolean false: instances whose checks warn are taken, too, with their weight for it; true
---@field stale? boolean any server may answer, not the leader alone; false
---@field wait? perilune.duration how long one request waits for a change, 1 second to 10 minutes; 55

--- The healthy instances of a service of Consul, with their weights, and the zone that their or their node's metadata
--- name (`zone`).
---@param set perilune.backend_set
---@param service string
---@param options? perilune.consul_options
function discovery.consul(set, service, options) end

---@class perilune.kubernetes_options: perilune.watch_options
---@field port? string|integer name or number of the port; it need not be said where there is one alone
---@field address? string URL of the API server; without: as a pod is told, with its token and CA
---@field silence? perilune.duration without a byte for so long, the watch begins anew; 75

--- The ready endpoints of a service of Kubernetes, by its EndpointSlices; if none is ready, those that still serve while
--- they end. The pod's account needs `list` and `watch` of `endpointslices` in `discovery.k8s.io`.
---@param set perilune.backend_set
---@param service string "namespace/name"
---@param options? perilune.kubernetes_options
function discovery.kubernetes(set, service, options) end

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
---@field interval? perilune.duration from the start of one check to the start of the next; 1
---@field jitter? number each check starts up to this share of the interval later; 0.1
---@field timeout? perilune.duration for the whole check; 1
---@field successes? integer in a row until an unhealthy backend counts as healthy; 1
---@field failures? integer in a row until a healthy backend counts as unhealthy; 1
---@field start? "healthy"|"unhealthy" how a backend counts before its first check; "healthy"
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
---@field alpn? "http/1.1"|"h2"|"h2,http/1.1" with tls, as of a peer; with both, HTTP/1.1 is used if the backend does not choose
--- h2; "http/1.1"
---@field http2? boolean without tls, as of a peer: HTTP/2, by prior knowledge; false
---@field path? string "/"
---@field host? string the field Host; the backend's address
---@field method? string "GET"
---@field headers? table<string, string>
---@field statuses? (integer|string)[] numbers, and ranges like "200-299"; { 200 }
---@field body? string a Lua pattern that must match in the body
---@field limit? integer how many bytes of the body are read and searched; 65536
---@field lenient? perilune.lenient as of a peer, without no_close_notify

---@class perilune.grpc_check_options: perilune.tcp_check_options
---@field service? string at most 127 bytes; ""
---@field host? string the backend's address

--- Checks whether the backends can be connected to. The control worker checks all of them at the same time, first at once.
---@param upstreams perilune.backend_set
---@param options? perilune.tcp_check_options
function health_check.tcp(upstreams, options) end

--- The same, with a TLS handshake.
---@param upstreams perilune.backend_set
---@param options? perilune.tcp_check_options
function health_check.tls(upstreams, options) end

--- Checks whether they answer a request as expected; over TLS only with tls = true.
---@param upstreams perilune.backend_set
---@param options? perilune.http_check_options
function health_check.http(upstreams, options) end

--- Checks by gRPC's health protocol (grpc.health.v1.Health/Check), over HTTP/2: a backend is healthy if it answers SERVING.
--- `service` is asked for ("": the server as a whole); `host` is the :authority.
---@param upstreams perilune.backend_set
---@param options? perilune.grpc_check_options
function health_check.grpc(upstreams, options) end

--- Checks with a function of yours, which may wait.
---@param upstreams perilune.backend_set
---@param check fun(address: string): boolean?, string? true: healthy; false or nil, and why: unhealthy. If it raises an error, or
--- this machine lacks resources, that is logged once, and the backend's health does not change
---@param options? perilune.check_options
function health_check.with(upstreams, check, options) end

return perilune
