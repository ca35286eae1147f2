# SPDX-License-Identifier: Apache-2.0
"""The proxies of the bench: how each is started, and what is missing where one cannot be.

To add one: its configuration in bench/peers/, a function here, its line in PEERS."""
import json
import os
import random
import re
import shutil
import subprocess

import machine

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.join(ROOT, "build", "bench")
PERILUNE = os.path.join(ROOT, "build", "perilune")
HANDSHAKES, TURNS = os.path.join(BUILD, "handshakes"), os.path.join(BUILD, "turns")
PINGORA = os.path.join(HERE, "peers", "pingora")
BALANCER = os.path.join(BUILD, "pingora", "release", "balancer")
NGINX_LUA = "/usr/lib/nginx/modules/ngx_http_lua_module.so"

TLS = os.path.join(BUILD, "tls")

ORIGIN_PORTS, TLS_ORIGIN_PORTS, H2_ORIGIN_PORTS = (18001, 18002), (18003, 18004), (18005, 18006)
SERVER_NAME = "one.one.one.one"
BACKENDS = [f"127.0.1.{i}:{ORIGIN_PORTS[0]}" for i in range(1, 101)]
FIRST_PORT = 18100


class Start:
    """What a peer is started with."""

    def __init__(self, name, port, origins, workers=1):
        self.kind = name
        self.name, self.port, self.workers = name.replace("+", "_").replace(" ", "_"), port, workers
        self.origins = origins
        self.listen = f"127.0.0.1:{port}"
        self.has_tls, self.has_tls_origins = " tls" in name, name.endswith("both")
        self.has_h2, self.has_h2_origins = " h2" in name, name.endswith("h2 h2")

    def env(self):
        return {"LISTEN": self.listen, "ORIGINS": ",".join(self.origins), "THREADS": str(self.workers)}

    def configuration(self, template, **more):
        is_haproxy = template.endswith(".cfg")
        tls = f" ssl verify required ca-file {TLS}/ca.pem sni str({SERVER_NAME})" if self.has_tls_origins else ""
        if self.has_h2_origins:
            tls = " proto h2"
        h2 = "" if not self.has_h2 else " http2" if not is_haproxy else " alpn h2" if self.has_tls else " proto h2"
        servers = [f"  server origin{i} {origin}{tls}" if is_haproxy else f"server {origin};"
                   for i, origin in enumerate(self.origins)]
        return fill(template, self.name, PORT=self.port, H2=h2, SCHEME="https" if self.has_tls_origins else "http", MOST=machine.most_connections(), SERVERS=("\n" if is_haproxy else " ").join(servers),
                    PORTS=", ".join(origin.rsplit(":", 1)[1] for origin in self.origins), **more)


def fill(template, name, **words):
    """A configuration of bench/peers with its @WORDS@ filled in: where it is."""
    words.update(DIR=BUILD, NAME=name, PEERS=os.path.join(HERE, "peers"))
    with open(os.path.join(HERE, "peers", template), encoding="utf-8") as file:
        text = re.sub(r"@(\w+)@", lambda word: str(words[word.group(1)]), file.read())
    path = os.path.join(BUILD, f"{name}.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def origin():
    """Two ports on 127.0.0.1, two with TLS, and a hundred addresses, of one server; and what it serves besides 1 KB."""
    make_certificates()
    os.makedirs(os.path.join(BUILD, "www"), exist_ok=True)
    os.makedirs(os.path.join(BUILD, "www", "json"), exist_ok=True)
    for name, size in (("1k", 1 << 10), ("100k", 100 << 10), ("10m", 10 << 20)):
        with open(os.path.join(BUILD, "www", name), "wb") as file:
            file.write(os.urandom(size))
    for name, size in (("20k", 20 << 10), ("100k", 100 << 10)):
        with open(os.path.join(BUILD, "www", "json", name), "w", encoding="utf-8") as file:
            file.write(json_text(size))
    addresses = [f"127.0.0.1:{port}" for port in ORIGIN_PORTS] + BACKENDS
    listen = [f"listen {address} backlog=8192;" for address in addresses]
    listen += [f"listen 127.0.0.1:{port} ssl backlog=8192;" for port in TLS_ORIGIN_PORTS]
    listen += [f"listen 127.0.0.1:{port} http2 backlog=8192;" for port in H2_ORIGIN_PORTS]
    path = fill("origin.conf", "origin", KILOBYTE="0123456789abcdef" * 64, PLAIN=ORIGIN_PORTS[0], LISTEN=" ".join(listen))
    return ["nginx", "-e", os.path.join(BUILD, "nginx.log"), "-p", BUILD, "-c", path]


def json_text(size):
    """Of that many bytes, as an API would answer."""
    dice, rows = random.Random(7), []
    while sum(map(len, rows)) < size:
        rows.append(json.dumps({"id": dice.randrange(10**6), "name": f"user {dice.randrange(5000)}", "active": dice.random() < .5,
                                "score": round(dice.random() * 100, 2), "tags": dice.sample(["red", "green", "blue", "old", "new"], 2)}))
    return ("[" + ",\n".join(rows))[:size]


def make_certificates():
    """An authority and a certificate for SERVER_NAME, ECDSA P-256, for proxies and origin alike."""
    if os.path.exists(os.path.join(TLS, "server.both")):
        return
    os.makedirs(TLS, exist_ok=True)
    with open(os.path.join(TLS, "names"), "w", encoding="utf-8") as file:
        file.write(f"subjectAltName=DNS:{SERVER_NAME}\n")
    new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for command in (f"{new} -x509 -days 3650 -subj /CN=bench -keyout ca.key -out ca.pem",
                    f"{new} -subj /CN={SERVER_NAME} -keyout server.key -out server.csr",
                    "x509 -req -days 3650 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out server.pem"):
        subprocess.run(["openssl", *command.split()], cwd=TLS, check=True, stderr=subprocess.DEVNULL)
    with open(os.path.join(TLS, "server.both"), "w", encoding="utf-8") as both:
        for name in ("server.pem", "server.key"):
            with open(os.path.join(TLS, name), encoding="utf-8") as file:
                both.write(file.read())


def relay(start):
    return [os.path.join(BUILD, "relay"), str(start.port), start.origins[0].rsplit(":", 1)[1]], {}


def perilune(start):
    return [PERILUNE, "run", "--workers", str(start.workers), os.path.join(HERE, "policies", "balancer.lua")], start.env()


def perilune_plain(start):
    return [PERILUNE, "proxy", "--workers", str(start.workers), "--listen", start.listen,
            "--to", ",".join(start.origins)], {}


def perilune_tls(start):
    files = {"CERTIFICATE": f"{TLS}/server.pem", "KEY": f"{TLS}/server.key"}
    if start.has_tls_origins:
        files["UPSTREAM_CA"] = f"{TLS}/ca.pem"
    return [PERILUNE, "run", "--workers", str(start.workers), os.path.join(HERE, "policies", "tls.lua")], {**start.env(), **files}


def perilune_h2(start):
    return [PERILUNE, "run", "--workers", str(start.workers), os.path.join(HERE, "policies", "tls.lua")], {
        **start.env(), **({"UPSTREAM_H2": "on"} if start.has_h2_origins else {})}


def nginx(start):
    return ["nginx", "-e", os.path.join(BUILD, "nginx.log"), "-p", BUILD, "-c", start.configuration("nginx.conf")], {}


def nginx_tls(start):
    return ["nginx", "-e", os.path.join(BUILD, "nginx.log"), "-p", BUILD, "-c", start.configuration("nginx_tls.conf")], {}


def nginx_lua(start):
    return ["nginx", "-e", os.path.join(BUILD, "nginx.log"), "-p", "/usr/lib/nginx", "-c", start.configuration("nginx_lua.conf")], {}


def perilune_cache(start):
    env = {"perilune cached": {"CACHE": "256M"}, "perilune coded": {"CACHE": "256M", "COMPRESS": "5"},
           "perilune gzip": {"COMPRESS": "5"}}[start.kind]
    return [PERILUNE, "run", "--workers", str(start.workers), os.path.join(HERE, "policies", "cache.lua")], {
        **start.env(), **env}


def nginx_cache(start):
    """Its files are in the memory of the kernel, as ours is."""
    cache = os.path.join(BUILD, f"nginx-cache-{start.port}")
    shutil.rmtree(cache, ignore_errors=True)
    path = start.configuration("nginx_cache.conf", CACHE=cache, GZIP="on" if "gzip" in start.kind else "off",
                               SENDFILE="off" if "copied" in start.kind else "on",
                               STORE="" if "gzip" in start.kind else "proxy_cache pages;")
    return ["nginx", "-e", os.path.join(BUILD, "nginx.log"), "-p", BUILD, "-c", path], {}


def varnish(start):
    address, port = start.origins[0].rsplit(":", 1)
    home = os.path.join(BUILD, f"varnish-{start.port}")
    os.makedirs(home, exist_ok=True)
    path = fill("varnish.vcl", start.name, ADDRESS=address, ORIGIN=port)
    return ["varnishd", "-F", "-n", home, "-a", start.listen, "-f", path, "-s", "malloc,256m", "-j", "none",
            "-p", "thread_pools=1", "-p", "thread_pool_min=200"], {}


def haproxy(start):
    return ["haproxy", "-db", "-f", start.configuration("haproxy.cfg")], {}


def haproxy_tls(start):
    return ["haproxy", "-db", "-f", start.configuration("haproxy_tls.cfg")], {}


def haproxy_lua(start):
    return ["haproxy", "-db", "-f", start.configuration("haproxy_lua.cfg")], {}


def caddy(start):
    path = start.configuration("Caddyfile", SITE="https://" if start.has_tls else "http://", ORIGINS=" ".join(start.origins),
                               TLS=f"tls {TLS}/server.pem {TLS}/server.key" if start.has_tls else "")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", path], {"GOMAXPROCS": str(start.workers), "HOME": BUILD}


def pingora(start):
    return [BALANCER], start.env()


def pingora_plain(start):
    return [BALANCER], {**start.env(), "POLICY": "off"}


# The order is that of the tables.
PEERS = {"relay": relay, "perilune": perilune, "perilune plain": perilune_plain, "nginx": nginx, "nginx+lua": nginx_lua,
         "haproxy": haproxy, "haproxy+lua": haproxy_lua, "pingora": pingora, "pingora plain": pingora_plain,
         "perilune tls": perilune_tls, "nginx tls": nginx_tls, "haproxy tls": haproxy_tls,
         "perilune tls both": perilune_tls, "nginx tls both": nginx_tls, "haproxy tls both": haproxy_tls,
         "perilune h2": perilune_h2, "nginx h2": nginx, "caddy h2": caddy, "haproxy h2": haproxy,
         "perilune h2 tls": perilune_tls, "nginx h2 tls": nginx_tls, "caddy h2 tls": caddy, "haproxy h2 tls": haproxy_tls,
         "perilune h2 h2": perilune_h2, "haproxy h2 h2": haproxy,
         "perilune cached": perilune_cache, "nginx cached": nginx_cache, "varnish cached": varnish,
         "nginx cached copied": nginx_cache, "perilune coded": perilune_cache, "perilune gzip": perilune_cache, "nginx gzip": nginx_cache}


def start_of(name, workers=1, origins=None, copy=0):
    """Each peer has a port of its own, and so has each copy of one that runs beside others."""
    port = FIRST_PORT + list(PEERS).index(name) + copy * len(PEERS)
    ports = TLS_ORIGIN_PORTS if name.endswith("both") else H2_ORIGIN_PORTS if name.endswith("h2 h2") else ORIGIN_PORTS
    return Start(name, port, origins or [f"127.0.0.1:{port}" for port in ports], workers)


def missing(name):
    """Why a peer cannot take part; None where it can."""
    kind = name.split()[0]
    if kind == "nginx" and not shutil.which("nginx"):
        return "nginx is not installed (`make deps` has it in the set bench)"
    if kind == "nginx+lua" and not os.path.exists(NGINX_LUA):
        return "nginx's Lua module is not installed (Debian: libnginx-mod-http-lua)"
    if " h2" in name and not shutil.which("h2load"):
        return "h2load, which asks over HTTP/2, is not installed (Debian: nghttp2-client)"
    if kind == "caddy" and not shutil.which("caddy"):
        return "Caddy is not installed (Debian: caddy)"
    if kind == "varnish" and not shutil.which("varnishd"):
        return "Varnish is not installed (Debian: varnish)"
    if kind.startswith("haproxy") and not shutil.which("haproxy"):
        return "HAProxy is not installed"
    if kind == "haproxy+lua" and "+LUA" not in output(["haproxy", "-vv"]):
        return "this HAProxy is built without Lua"
    if kind == "pingora" and not os.path.exists(BALANCER):
        return "Pingora's balancer is not built (bench/run.py --build-pingora; it needs cargo, cmake and the crates)"
    return None


def output(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout + done.stderr


def versions():
    found = {"perilune": output([PERILUNE, "version"]).split("\n", maxsplit=1)[0],
             "nginx": output(["nginx", "-v"]).strip().split("/")[-1],
             "haproxy": (output(["haproxy", "-v"]).split() + ["", "", ""])[2],
             "caddy": (output(["caddy", "version"]).split() + [""])[0],
             "varnish": (re.findall(r"varnish-([0-9.]+)", output(["varnishd", "-V"])) + [""])[0],
             "wrk": " ".join(output(["wrk", "-v"]).split()[:2])}
    lock = os.path.join(PINGORA, "Cargo.lock")
    if os.path.exists(lock):
        with open(lock, encoding="utf-8") as file:
            crate = re.search(r'name = "pingora"\nversion = "([^"]+)"', file.read())
        found["pingora"] = crate.group(1) if crate else "?"
    return found


def build_tools():
    os.makedirs(BUILD, exist_ok=True)
    for name, libraries in (("relay", []), ("turns", []), ("handshakes", ["-lssl", "-lcrypto"])):
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", os.path.join(BUILD, name), os.path.join(HERE, f"{name}.c"),
                        *libraries], check=True)


def build_pingora():
    """Takes some minutes of both cores; niced, and done once."""
    if not shutil.which("cargo"):
        return "cargo is not installed"
    done = subprocess.run(["nice", "-n", "19", "cargo", "build", "--release", "--quiet", "--locked", "--target-dir",
                           os.path.join(BUILD, "pingora")], cwd=PINGORA, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"cargo: {done.stderr.strip()[-300:]}"
