-- SPDX-License-Identifier: Apache-2.0
-- tls: TLS for the streams of specs, and certificates made on the fly. OpenSSL's library through the FFI, its command
-- for the certificates. No function waits: they return "read" or "write" if the caller must wait for that.
local ffi = require "ffi"
local sys = require "perilune.test.sys"

ffi.cdef [[
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
const void *TLS_server_method(void);
const void *TLS_client_method(void);
SSL_CTX *SSL_CTX_new(const void *method);
void SSL_CTX_free(SSL_CTX *context);
int SSL_CTX_use_certificate_chain_file(SSL_CTX *context, const char *file);
int SSL_CTX_use_PrivateKey_file(SSL_CTX *context, const char *file, int type);
int SSL_CTX_load_verify_locations(SSL_CTX *context, const char *file, const char *directory);
void SSL_CTX_set_verify(SSL_CTX *context, int mode, void *callback);
SSL *SSL_new(SSL_CTX *context);
void SSL_free(SSL *session);
int SSL_set_fd(SSL *session, int fd);
void SSL_set_accept_state(SSL *session);
void SSL_set_connect_state(SSL *session);
long SSL_ctrl(SSL *session, int command, long number, void *value);
int SSL_set1_host(SSL *session, const char *name);
int SSL_do_handshake(SSL *session);
int SSL_read(SSL *session, void *bytes, int count);
int SSL_write(SSL *session, const void *bytes, int count);
int SSL_shutdown(SSL *session);
int SSL_get_error(const SSL *session, int result);
const char *SSL_get_servername(const SSL *session, int type);
const char *SSL_get_version(const SSL *session);
long SSL_CTX_ctrl(SSL_CTX *context, int command, long number, const void *value);
int SSL_CTX_set_alpn_protos(SSL_CTX *context, const char *protocols, unsigned length);
typedef int (*tls_alpn_choice)(SSL *session, const unsigned char **chosen, unsigned char *length,
  const unsigned char *offered, unsigned offered_length, void *owner);
void SSL_CTX_set_alpn_select_cb(SSL_CTX *context, tls_alpn_choice choice, void *owner);
int SSL_select_next_proto(unsigned char **chosen, unsigned char *length, const unsigned char *ours, unsigned our_length,
  const unsigned char *offered, unsigned offered_length);
typedef struct ssl_session_st SSL_SESSION;
SSL_SESSION *SSL_get1_session(SSL *session);
int SSL_set_session(SSL *session, SSL_SESSION *from);
void SSL_SESSION_free(SSL_SESSION *session);
int SSL_SESSION_is_resumable(const SSL_SESSION *session);
int SSL_session_reused(const SSL *session);
typedef struct x509_st X509;
typedef struct X509_name_st X509_NAME;
X509 *SSL_get1_peer_certificate(const SSL *session);
void X509_free(X509 *certificate);
X509_NAME *X509_get_subject_name(const X509 *certificate);
char *X509_NAME_oneline(const X509_NAME *name, char *text, int size);
typedef struct evp_pkey_st EVP_PKEY;
EVP_PKEY *X509_get0_pubkey(const X509 *certificate);
int EVP_PKEY_get_base_id(const EVP_PKEY *key);
void SSL_get0_alpn_selected(const SSL *session, const unsigned char **name, unsigned *length);
unsigned long ERR_get_error(void);
void ERR_clear_error(void);
void ERR_error_string_n(unsigned long error, char *text, size_t size);
]]
local ssl = ffi.load "libssl.so.3"
local crypto = ffi.load "libcrypto.so.3"

local M = {}
local WANT_READ, WANT_WRITE, SYSCALL, ZERO_RETURN = 2, 3, 5, 6
local PEM, VERIFY_PEER, SET_SERVER_NAME = 1, 1, 55
local SET_OLDEST, SET_NEWEST, SET_SIGNATURES, ASK_STATUS, GET_STATUS = 123, 124, 98, 65, 70
local VERSIONS = { ["TLSv1.2"] = 0x303, ["TLSv1.3"] = 0x304 }

local function reason()
  local text = ffi.new "char[256]"
  local code = crypto.ERR_get_error()
  if code == 0 then return "closed" end
  crypto.ERR_error_string_n(code, text, 256)
  return ffi.string(text)
end

local function outcome(session, result)
  local kind = ssl.SSL_get_error(session, result)
  if kind == WANT_READ then return nil, "read" end
  if kind == WANT_WRITE then return nil, "write" end
  if kind == ZERO_RETURN then return nil, "closed" end
  if kind == SYSCALL then return nil, sys.is_reset() and "reset" or "closed" end
  return nil, reason()
end

local function new_context(method)
  return ffi.gc(ssl.SSL_CTX_new(method), ssl.SSL_CTX_free)
end

local function load_identity(context, files)
  assert(ssl.SSL_CTX_use_certificate_chain_file(context, files.certificate) == 1, "certificate: " .. files.certificate)
  assert(ssl.SSL_CTX_use_PrivateKey_file(context, files.key, PEM) == 1, "key: " .. files.key)
end

local function verify(context, ca)
  assert(ssl.SSL_CTX_load_verify_locations(context, ca, nil) == 1, "ca: " .. ca)
  ssl.SSL_CTX_set_verify(context, VERIFY_PEER, nil)
end

local function limit_versions(context, options)
  if options.oldest then ssl.SSL_CTX_ctrl(context, SET_OLDEST, VERSIONS[options.oldest], nil) end
  if options.newest then ssl.SSL_CTX_ctrl(context, SET_NEWEST, VERSIONS[options.newest], nil) end
end

-- "h2,http/1.1" as the wire has it: each name behind its length.
local function alpn_list(names)
  return (names:gsub("([^,]+),?", function(name) return string.char(#name) .. name end))
end

local ALPN_OK, ALPN_NONE, NEGOTIATED = 0, 3, 1
local choices = {} -- by context: LuaJIT has few callbacks, so there is one for all

local choose = ffi.cast("tls_alpn_choice", function(_, chosen, length, offered, offered_length, owner)
  local ours = choices[tonumber(ffi.cast("intptr_t", owner))]
  local result = ssl.SSL_select_next_proto(ffi.cast("unsigned char **", chosen), length, ours, #ours, offered,
    offered_length)
  return result == NEGOTIATED and ALPN_OK or ALPN_NONE
end)

local function accept_alpn(context, names)
  choices[#choices + 1] = alpn_list(names)
  ssl.SSL_CTX_set_alpn_select_cb(context, choose, ffi.cast("void *", ffi.cast("intptr_t", #choices)))
end

---@param files table certificate and key, as M.certificate gives them
---@param options table? client_ca (asks for a certificate by it), oldest and newest ("TLSv1.2", "TLSv1.3")
---@param alpn string? what it takes, the best one first: "h2,http/1.1"
function M.server_context(files, options, alpn)
  local context = new_context(ssl.TLS_server_method())
  options = options or {}
  load_identity(context, files)
  limit_versions(context, options)
  if options.client_ca then verify(context, options.client_ca) end
  if alpn then accept_alpn(context, alpn) end
  return context
end

--- Verifies when `ca` is given.
---@param options table? files (its own certificate), oldest, newest, signatures ("RSA-PSS+SHA256"),
--- alpn ("h2,http/1.1")
function M.client_context(ca, options)
  local context = new_context(ssl.TLS_client_method())
  options = options or {}
  limit_versions(context, options)
  if ca then verify(context, ca) end
  if options.files then load_identity(context, options.files) end
  if options.signatures then assert(ssl.SSL_CTX_ctrl(context, SET_SIGNATURES, 0, options.signatures) == 1) end
  if options.alpn then
    local list = alpn_list(options.alpn)
    ssl.SSL_CTX_set_alpn_protos(context, list, #list)
  end
  return context
end

local Session = {}
Session.__index = Session

local function new_session(context, fd)
  local handle = ffi.gc(ssl.SSL_new(context), ssl.SSL_free)
  ssl.SSL_set_fd(handle, fd)
  return setmetatable({ handle = handle, context = context }, Session)
end

function M.server(context, fd)
  local session = new_session(context, fd)
  ssl.SSL_set_accept_state(session.handle)
  return session
end

---@param name string? sent as SNI, and verified where the context verifies
---@param ticket table? from session:ticket(), to be resumed
function M.client(context, fd, name, ticket)
  local session = new_session(context, fd)
  if ticket then ssl.SSL_set_session(session.handle, ticket) end
  ssl.SSL_ctrl(session.handle, ASK_STATUS, 1, nil)
  ssl.SSL_set_connect_state(session.handle)
  if name then
    ssl.SSL_ctrl(session.handle, SET_SERVER_NAME, 0, ffi.cast("void *", name))
    ssl.SSL_set1_host(session.handle, name)
  end
  return session
end

-- Interpreted: it calls `choose`, and compiled code must not be called back.
function Session:handshake()
  crypto.ERR_clear_error()
  local result = ssl.SSL_do_handshake(self.handle)
  if result == 1 then return true end
  return outcome(self.handle, result)
end

jit.off(Session.handshake)

local block = ffi.new("char[?]", 65536)
function Session:receive(limit)
  crypto.ERR_clear_error()
  local count = ssl.SSL_read(self.handle, block, math.min(limit or 65536, 65536))
  if count > 0 then return ffi.string(block, count) end
  return outcome(self.handle, count)
end

function Session:send(bytes, from)
  crypto.ERR_clear_error()
  -- A repeated write must be of the same bytes, which it is: the caller's text is not moved.
  local count = ssl.SSL_write(self.handle, ffi.cast("const char *", bytes) + from, #bytes - from)
  if count > 0 then return count end
  return outcome(self.handle, count)
end

--- Sends close_notify.
function Session:shutdown()
  crypto.ERR_clear_error()
  ssl.SSL_shutdown(self.handle)
end

--- The server name that the client sent, nil where it sent none.
function Session:server_name()
  local name = ssl.SSL_get_servername(self.handle, 0)
  return name ~= nil and ffi.string(name) or nil
end

function Session:version() return ffi.string(ssl.SSL_get_version(self.handle)) end
function Session:is_resumed() return ssl.SSL_session_reused(self.handle) == 1 end

--- What the session can be resumed with; nil where it cannot. With TLS 1.3 after something was received.
function Session:ticket()
  local ticket = ffi.gc(ssl.SSL_get1_session(self.handle), ssl.SSL_SESSION_free)
  return ssl.SSL_SESSION_is_resumable(ticket) == 1 and ticket or nil
end

--- The other side's certificate: its common name, and "rsa" or "ec"; nil where it showed none.
function Session:certificate()
  local certificate = ssl.SSL_get1_peer_certificate(self.handle)
  if certificate == nil then return nil end
  ffi.gc(certificate, crypto.X509_free)
  local text = ffi.new "char[512]"
  crypto.X509_NAME_oneline(crypto.X509_get_subject_name(certificate), text, 512)
  local kind = crypto.EVP_PKEY_get_base_id(crypto.X509_get0_pubkey(certificate)) == 6 and "rsa" or "ec"
  return ffi.string(text):match "CN=([^/]*)", kind
end

function Session:alpn()
  local name, length = ffi.new "const unsigned char *[1]", ffi.new "unsigned[1]"
  ssl.SSL_get0_alpn_selected(self.handle, name, length)
  return length[0] > 0 and ffi.string(name[0], length[0]) or nil
end

--- The stapled OCSP response that the server sent, as it came; nil where it sent none.
function Session:status()
  local bytes = ffi.new "unsigned char *[1]"
  local length = ssl.SSL_ctrl(self.handle, GET_STATUS, 0, bytes)
  return length > 0 and ffi.string(bytes[0], length) or nil
end

local directory, made = nil, {}
local function path_of(file)
  directory = directory or require("perilune.test.cleanup").directory()
  return directory .. "/" .. file
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end
local function run(...)
  local words = {}
  for i, word in ipairs { ... } do words[i] = quoted(word) end
  local command = "openssl " .. table.concat(words, " ") .. " </dev/null 2>&1"
  local pipe = assert(io.popen(command .. "; echo status=$?"))
  local output = pipe:read "*a"
  pipe:close()
  return output:match "status=0%s*$" ~= nil, command .. "\n" .. output
end
local function openssl(...) assert(run(...)) end

local function write_config(name, extensions)
  local path = path_of(name .. ".cnf")
  local file = assert(io.open(path, "w"))
  file:write("[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n[dn]\nCN = ", name, "\n[ext]\n")
  file:write(extensions, "\n")
  file:close()
  return path
end

local KINDS = { ec = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1" }, rsa = { "-newkey", "rsa:2048" } }

-- OpenSSL 3.4 and later take dates, and refuse an end before the beginning, which is all that earlier ones can do.
local function expire(files)
  local function sign(call, ...)
    return call("x509", "-in", files.certificate, "-signkey", files.key, "-out", files.certificate, ...)
  end
  local ok = sign(run, "-not_before", "20200101000000Z", "-not_after", "20200102000000Z")
  if not ok then sign(openssl, "-days", "-1") end
end

local function request(name, extensions, options, ...)
  local files = { certificate = path_of(name .. ".pem"), key = path_of(name .. ".key") }
  local words = { unpack(KINDS[options.kind or "ec"]) }
  for _, word in ipairs { ... } do words[#words + 1] = word end
  openssl("req", "-x509", "-nodes", "-days", "2", "-config", write_config(name, extensions),
    "-keyout", files.key, "-out", files.certificate, unpack(words))
  if options.expired then expire(files) end
  return files
end

--- The certificate authority of this test run.
---@return table files certificate, key
function M.authority()
  made.ca = made.ca or request("spec-ca", "basicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign,cRLSign", {})
  return made.ca
end

--- A certificate for these names, DNS names and IP addresses, signed by M.authority(). Made once per test run.
---@return table files certificate, key, ca
function M.certificate(...) return M.certificate_of({}, ...) end

--- The same with options: kind ("ec", "rsa"), expired (true: yesterday), copy (another for the same names).
function M.certificate_of(options, ...)
  local names, ca = {}, M.authority()
  for i, name in ipairs { ... } do
    names[i] = (name:match "^[%d.]+$" or name:match ":") and "IP:" .. name or "DNS:" .. name
  end
  local key = table.concat(names, ",")
  local san = key
  for _, option in ipairs { "kind", "expired", "copy" } do
    if options[option] then key = key .. "-" .. option .. tostring(options[option]) end
  end
  if not made[key] then
    local extensions = "basicConstraints = CA:FALSE\nsubjectAltName = " .. san
    local name = "leaf-" .. key:gsub("[^%w]", "_")
    made[key] = request(name, extensions, options, "-CA", ca.certificate, "-CAkey", ca.key)
    made[key].name = name
    made[key].ca = ca.certificate
  end
  return made[key]
end

return M
