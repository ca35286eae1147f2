-- SPDX-License-Identifier: Apache-2.0
-- sys: the system calls that specs need, through LuaJIT's FFI: sockets, poll, processes. Numbers are those of Linux.
-- Functions return nil, message, errno if the call failed. Only poll waits.
local ffi = require "ffi"
local bit = require "bit"

ffi.cdef [[
typedef int pid_t;
typedef struct { long tv_sec; long tv_nsec; } sys_timespec;
typedef struct { int fd; short events; short revents; } sys_pollfd;
typedef struct { unsigned short family; unsigned short port; unsigned char address[4]; char zero[8]; } sys_in4;
typedef struct {
  unsigned short family; unsigned short port; unsigned flow; unsigned char address[16]; unsigned scope;
} sys_in6;
typedef struct { unsigned short family; char path[108]; } sys_un;
typedef struct { int on; int seconds; } sys_linger;
typedef struct { unsigned long bits[16]; } sys_signals;
int clock_gettime(int clock, sys_timespec *time);
int poll(sys_pollfd *fds, unsigned long count, int timeout_ms);
int socket(int family, int type, int protocol);
int bind(int fd, const void *address, unsigned length);
int listen(int fd, int backlog);
int accept4(int fd, void *address, unsigned *length, int flags);
int connect(int fd, const void *address, unsigned length);
long read(int fd, void *bytes, size_t count);
long readlink(const char *path, char *target, size_t size);
int pipe2(int *fds, int flags);
int fcntl(int fd, int command, ...);
int getsockname(int fd, void *address, unsigned *length);
int setsockopt(int fd, int level, int option, const void *value, unsigned length);
int getsockopt(int fd, int level, int option, void *value, unsigned *length);
int shutdown(int fd, int how);
long send(int fd, const void *bytes, size_t count, int flags);
long recv(int fd, void *bytes, size_t count, int flags);
long sendto(int fd, const void *bytes, size_t count, int flags, const void *to, unsigned to_length);
long recvfrom(int fd, void *bytes, size_t count, int flags, void *from, unsigned *from_length);
int close(int fd);
int open(const char *path, int flags, ...);
int dup2(int from, int to);
pid_t fork(void);
pid_t getpid(void);
int execvp(const char *file, char *const arguments[]);
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);
pid_t waitpid(pid_t pid, int *status, int options);
int kill(pid_t pid, int signal);
int prctl(int option, ...);
void *signal(int signal, void *handler);
int sigprocmask(int how, const sys_signals *set, sys_signals *old);
int signalfd(int fd, const sys_signals *mask, int flags);
int inotify_init1(int flags);
int inotify_add_watch(int fd, const char *path, unsigned mask);
void _exit(int code);
char *mkdtemp(char *pattern);
char *strerror(int error);
]]
local C = ffi.C

local M = {}
M.READ, M.WRITE = 1, 4
M.EAGAIN, M.ECONNREFUSED, M.ECONNRESET, M.EPIPE, M.ENOENT = 11, 111, 104, 32, 2
local EINPROGRESS, EINTR = 115, 4
local AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
local SOCK_STREAM, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_CLOEXEC = 1, 2, 0x800, 0x80000
local SOL_SOCKET, SO_REUSEADDR, SO_ERROR, SO_SNDBUF, SO_RCVBUF, SO_LINGER = 1, 2, 4, 7, 8, 13
local MSG_OOB, MSG_NOSIGNAL = 1, 0x4000
local SIGPIPE, SIGKILL = 13, 9
local PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, F_SETFD = 1, 36, 2

-- OpenSSL writes with write(2): without this a vanished client would end the test run.
C.signal(SIGPIPE, ffi.cast("void *", 1))

local function failure()
  local errno = ffi.errno()
  return nil, ffi.string(C.strerror(errno)), errno
end

local time = ffi.new "sys_timespec"
--- Seconds of the monotonic clock.
function M.now()
  C.clock_gettime(1, time)
  return tonumber(time.tv_sec) + tonumber(time.tv_nsec) / 1e9
end

--- Waits until one of the descriptors is ready. `wanted` is a list of { fd, events }.
---@param timeout number seconds
---@return table ready indexes into `wanted`
function M.poll(wanted, timeout)
  local fds = ffi.new("sys_pollfd[?]", #wanted)
  for i, entry in ipairs(wanted) do
    fds[i - 1].fd, fds[i - 1].events = entry[1], entry[2]
  end
  local ready = {}
  if C.poll(fds, #wanted, math.ceil(timeout * 1000)) <= 0 then return ready end
  for i = 1, #wanted do
    if fds[i - 1].revents ~= 0 then ready[#ready + 1] = i end
  end
  return ready
end

local function network_order(port) return bit.bor(bit.lshift(bit.band(port, 255), 8), bit.rshift(port, 8)) end

-- "127.0.0.1", 80 | "::1", 80 | "unix:/path"
local function address_of(host, port)
  local path = host:match "^unix:(.*)"
  if path then
    local address = ffi.new("sys_un", AF_UNIX)
    ffi.copy(address.path, path)
    return address, 2 + #path + 1, AF_UNIX
  end
  if host == "::1" then
    local address = ffi.new("sys_in6", AF_INET6, network_order(port))
    address.address[15] = 1
    return address, ffi.sizeof(address), AF_INET6
  end
  local address = ffi.new("sys_in4", AF_INET, network_order(port))
  local at = 0
  for octet in host:gmatch "%d+" do
    address.address[at] = tonumber(octet)
    at = at + 1
  end
  assert(at == 4, "not an address: " .. host)
  return address, ffi.sizeof(address), AF_INET
end

local one = ffi.new("int[1]", 1)
local IPPROTO_TCP, TCP_NODELAY = 6, 1
local function set_option(fd, option, value, size) return C.setsockopt(fd, SOL_SOCKET, option, value, size) end
-- Small writes go out at once. A unix socket does so anyway, and takes no such option.
local function set_nodelay(fd) C.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ffi.new("int[1]", 1), 4) end

--- A listening socket; port 0 takes a free one, which M.port tells.
---@param backlog integer? connections that may wait to be accepted; 1024
---@return integer? fd, string? message
function M.listen(host, port, backlog)
  local address, length, family = address_of(host, port)
  local fd = C.socket(family, SOCK_STREAM + SOCK_NONBLOCK + SOCK_CLOEXEC, 0)
  if fd < 0 then return failure() end
  set_option(fd, SO_REUSEADDR, one, 4)
  if C.bind(fd, address, length) < 0 or C.listen(fd, backlog or 1024) < 0 then
    local _, message, errno = failure()
    C.close(fd)
    return nil, message, errno
  end
  return fd
end

--- A port on which nobody listens, and which is reserved, so that nobody else gets it as a free one.
---@param port integer? nil: any
---@return integer? fd, string? message
function M.reserve(host, port)
  local address, length, family = address_of(host, port or 0)
  local fd = C.socket(family, SOCK_STREAM + SOCK_CLOEXEC, 0)
  if fd < 0 then return failure() end
  if port then set_option(fd, SO_REUSEADDR, one, 4) end -- connections of it may still be there
  if C.bind(fd, address, length) == 0 then return fd end
  local _, message, errno = failure()
  C.close(fd)
  return nil, message, errno
end

--- The port that a socket is bound to; nil for a unix socket.
function M.port(fd)
  local address = ffi.new "sys_in6"
  C.getsockname(fd, address, ffi.new("unsigned[1]", ffi.sizeof(address)))
  if address.family == AF_UNIX then return nil end
  return network_order(address.port)
end

function M.accept(fd)
  local accepted = C.accept4(fd, nil, nil, SOCK_NONBLOCK + SOCK_CLOEXEC)
  if accepted < 0 then return failure() end
  set_nodelay(accepted)
  return accepted
end

--- Begins to connect; the socket becomes writable when that is decided, and M.socket_error says how.
---@param receive_buffer integer? bytes, for clients that are slow to read
function M.connect(host, port, receive_buffer)
  local address, length, family = address_of(host, port)
  local fd = C.socket(family, SOCK_STREAM + SOCK_NONBLOCK + SOCK_CLOEXEC, 0)
  if fd < 0 then return failure() end
  if receive_buffer then set_option(fd, SO_RCVBUF, ffi.new("int[1]", receive_buffer), 4) end
  set_nodelay(fd)
  if C.connect(fd, address, length) == 0 then return fd end
  local _, message, errno = failure()
  if errno == EINPROGRESS then return fd end
  C.close(fd)
  return nil, message, errno
end

--- 0, or the errno with which a connection failed.
function M.socket_error(fd)
  local value, length = ffi.new "int[1]", ffi.new("unsigned[1]", 4)
  C.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, length)
  return value[0]
end

function M.set_buffers(fd, bytes)
  local value = ffi.new("int[1]", bytes)
  set_option(fd, SO_SNDBUF, value, 4)
  set_option(fd, SO_RCVBUF, value, 4)
end

--- Did the last call that failed find the connection reset?
function M.is_reset() return ffi.errno() == M.ECONNRESET or ffi.errno() == M.EPIPE end
function M.error_text(errno) return ffi.string(C.strerror(errno)) end

---@param from integer first byte, counted from 0
---@return integer? count
function M.send(fd, bytes, from)
  local count = C.send(fd, ffi.cast("const char *", bytes) + from, #bytes - from, MSG_NOSIGNAL)
  if count < 0 then return failure() end
  return tonumber(count)
end

--- A byte that reading passes over (tcp(7), MSG_OOB).
function M.send_urgent(fd, byte) return C.send(fd, byte, 1, MSG_OOB) == 1 end

local block = ffi.new("char[?]", 65536)
---@return string? bytes "" at the end
function M.receive(fd, limit)
  local count = C.recv(fd, block, math.min(limit or 65536, 65536), 0)
  if count < 0 then return failure() end
  return ffi.string(block, count)
end

--- A UDP socket on a free port of an IPv4 address.
---@return integer? fd, string? message
function M.bind_datagram(host)
  local address, length, family = address_of(host, 0)
  local fd = C.socket(family, SOCK_DGRAM + SOCK_NONBLOCK + SOCK_CLOEXEC, 0)
  if fd < 0 then return failure() end
  if C.bind(fd, address, length) < 0 then return failure() end
  return fd
end

--- A datagram, and where it came from, for M.send_to.
function M.receive_from(fd)
  local from, length = ffi.new "sys_in4", ffi.new("unsigned[1]", ffi.sizeof "sys_in4")
  local count = C.recvfrom(fd, block, 65536, 0, from, length)
  if count < 0 then return failure() end
  return ffi.string(block, count), from
end

function M.send_to(fd, bytes, to) return C.sendto(fd, bytes, #bytes, 0, to, ffi.sizeof "sys_in4") end

--- Passes to programs that are started from now on.
function M.inherit(fd) C.fcntl(fd, F_SETFD, ffi.cast("int", 0)) end

function M.half_close(fd) C.shutdown(fd, 1) end
function M.close(fd) C.close(fd) end
--- Closes so that the other side gets a reset.
function M.reset(fd)
  set_option(fd, SO_LINGER, ffi.new("sys_linger", 1, 0), 8)
  C.close(fd)
end

--- This process is killed when its parent has ended.
function M.end_with_parent() C.prctl(PR_SET_PDEATHSIG, ffi.cast("unsigned long", SIGKILL)) end

-- O_WRONLY | O_CREAT | O_APPEND, 0600
local function redirect(path, fd)
  if path then C.dup2(C.open(path, 0x441, ffi.cast("int", 384)), fd) end
end

local SIG_SETMASK, no_signals = 2, ffi.new "sys_signals"

local function become(arguments, options)
  M.end_with_parent() -- nothing outlives the test run
  C.signal(SIGPIPE, nil)
  C.dup2(C.open("/dev/null", 0), 0)
  redirect(options.stdout, 1)
  redirect(options.stderr, 2)
  C.sigprocmask(SIG_SETMASK, no_signals, nil)
  for name, value in pairs(options.env or {}) do
    if value then C.setenv(name, value, 1) else C.unsetenv(name) end
  end
  local argv = ffi.new("const char *[?]", #arguments + 1)
  for i, argument in ipairs(arguments) do argv[i - 1] = argument end
  C.execvp(arguments[1], ffi.cast("char *const *", argv))
  C._exit(127)
end

--- Starts a program. Its output goes to the files options.stdout and options.stderr; without, to ours.
---@return integer? pid
function M.spawn(arguments, options)
  local pid = C.fork()
  if pid == 0 then become(arguments, options) end
  if pid < 0 then return failure() end
  return pid
end

--- The two ends of a pipe; the second one passes to programs that are started meanwhile.
function M.pipe()
  local fds = ffi.new "int[2]"
  if C.pipe2(fds, SOCK_CLOEXEC) < 0 then return failure() end
  C.fcntl(fds[1], F_SETFD, ffi.cast("int", 0))
  return fds[0], fds[1]
end

--- What is there to read of a pipe, at most 64 KiB.
function M.read(fd)
  local count = C.read(fd, block, 65536)
  if count < 0 then return failure() end
  return ffi.string(block, count)
end

local path = ffi.new "char[4096]"
--- The program that runs this.
function M.own_binary()
  local length = C.readlink("/proc/self/exe", path, 4096)
  return length > 0 and ffi.string(path, length) or nil
end

local function code_of(status)
  local ended_by = bit.band(status, 127)
  if ended_by ~= 0 then return -ended_by end
  return bit.band(bit.rshift(status, 8), 255)
end

local status = ffi.new "int[1]"
local function wait_for(pid)
  local result
  repeat result = C.waitpid(pid, status, 1) until result >= 0 or ffi.errno() ~= EINTR
  return result
end

--- nil while it runs; then its exit code, or minus the signal that ended it.
function M.exit_code(pid)
  local result = wait_for(pid)
  if result == 0 then return nil end
  if result < 0 then return failure() end
  return code_of(status[0])
end

--- Any child that has ended, and its exit code as above; nil when there is none.
---@return integer? pid, integer? code
function M.reap()
  local pid = wait_for(-1)
  if pid > 0 then return pid, code_of(status[0]) end
end

--- From here on what outlives its parent becomes a child of this process, for M.reap.
function M.adopt_orphans() C.prctl(PR_SET_CHILD_SUBREAPER, ffi.cast("unsigned long", 1)) end

function M.kill(pid, number) return C.kill(pid, number) == 0 end
function M.pid() return C.getpid() end

--- A new directory for temporary files, by its path.
function M.temporary_directory()
  local pattern = (os.getenv "TMPDIR" or "/tmp") .. "/perilune-spec-XXXXXX"
  local text = ffi.new("char[?]", #pattern + 1, pattern)
  if C.mkdtemp(text) == nil then return failure() end
  return ffi.string(text)
end

return M
