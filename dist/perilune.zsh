#compdef perilune
# SPDX-License-Identifier: Apache-2.0
# Written by 'perilune help --completion zsh': change core/cli/words.c, then 'make docs'.
_perilune() {
  local -a commands=(
    'run:serve with a policy'
    'proxy:forward without a script, round robin'
    'files:serve the files of a folder'
    'check:load a policy and look for mistakes, without opening anything'
    'test:test policies with busted and the API of the proxy'
    'reload:load the policy of a running proxy again'
    'upgrade:replace a running proxy by the program file as it is now'
    'status:what a running proxy serves, how fast, and what goes wrong'
    'backend:drain, disable, enable or weigh a backend'
    'log-level:show or change the level of a running proxy'\''s error log'
    'ps:which proxies run here, and how commands name them'
    'profile:where the hooks of a running proxy spend their time, by line'
    'trace:look on at the requests of a running proxy, step by step'
    'top:watch a running proxy in the terminal'
    'record:record requests of a running proxy, for '\''perilune replay'\'''
    'replay:what a policy would have done with recorded requests'
    'repl:evaluate Lua in a running proxy that was started with --repl'
    'purge:let the cache of a running proxy forget responses'
    'bundle:make a signed bundle of policy files, for '\''run --bundle'\'''
    'hash-password:make the hash of a password, for perilune.basic_auth'
    'stop:end a running proxy after its current requests'
    'version:print the version; also -v, -V and --version'
    'help:print this, or the options of a command; also COMMAND --help'
  )
  if (( CURRENT == 2 )) || [[ $words[2] == help && CURRENT == 3 ]]; then
    _describe command commands
    return
  fi
  words=($words[2,-1])
  (( CURRENT-- ))
  case $words[1] in
    run) _arguments \
      '*--break[in development\: stop what comes to that line, and ask in the terminal; everything else goes on. May be given several times]:FILE\:LINE:_files' \
      '*--print-config[do not serve\: print the settings in effect (run), or the same as a script (proxy, files)]' \
      '*--bundle[run the policy of a signed bundle, which is fetched again and again; without SCRIPT]:URL: ' \
      '*--bundle-key[public keys (Ed25519, PEM), one of which must have signed the bundle]:FILE:_files' \
      '*--bundle-dir[where bundles are unpacked and the last good one is kept (/var/lib/perilune/bundle, or below $STATE_DIRECTORY)]:DIR:_files' \
      '*--bundle-ca[authorities (PEM) whose certificates the server of the bundle may show (the system'\''s)]:FILE:_files' \
      '*--bundle-token-file[a file with a token, which is sent as Authorization\: Bearer; read again when it changes]:FILE:_files' \
      '*--bundle-cert[the certificate (PEM) by which the server of the bundle knows this proxy; read again when it changes]:FILE:_files' \
      '*--bundle-cert-key[its key (PEM)]:FILE:_files' \
      '*--bundle-every[how often it is asked for (30s)]:TIME: ' \
      '*--bundle-node[what this proxy is called, for the stages of a bundle (the machine'\''s name)]:NAME: ' \
      '*--workers[worker threads; auto\: one for each core]:N: ' \
      '*--grace[seconds in which a graceful stop ends]:TIME: ' \
      '*--upgrade-grace[seconds in which the old process ends after an upgrade]:TIME: ' \
      '*--drain[seconds that an old policy'\''s background work has after a reload; requests still on it are only reported]:TIME: ' \
      '*--reload-timeout[seconds within which the workers must switch; after that, a reload says which have not]:TIME: ' \
      '*--upgrade-timeout[seconds within which the new process must serve, or the upgrade fails]:TIME: ' \
      '*--low-latency[under load, serve at once instead of collecting events for up to 0.1 ms]' \
      '*--watch[reload when a file of the policy changes]' \
      '*--repl[let root and this user evaluate Lua in the workers\: perilune repl]' \
      '*--daemon[continue in the background once the policy serves]' \
      '*--pid-file[file with the process id]:FILE:_files' \
      '*--socket[path of the command socket; empty\: an abstract one]:FILE:_files' \
      '*--user[user to become once the listeners are open]:NAME: ' \
      '*--group[group to become; empty\: the user'\''s]:NAME: ' \
      '*--admin[loopback address or unix\:/path of the status page and /metrics]:ADDR: ' \
      '*--admin-public[admin may be an address that others can reach]' \
      '*--error-log[a file, stderr or syslog]:WHERE: ' \
      '*--access-log[a file, stdout, stderr or syslog; with \:json after it, lines of JSON]:WHERE: ' \
      '*--log-level[debug, info, warn or error]:LEVEL:(debug info warn error)' '*:file:_files' ;;
    proxy) _arguments \
      '*--listen[where to listen; may be given several times. With --tls-cert it speaks TLS, except for http\://ADDR]:ADDR: ' \
      '*--to[where to forward to; may be given several times, or as a list with commas; https\://HOST\[\:PORT\]\: with TLS, h2\://HOST\[\:PORT\]\: HTTP/2 with TLS, h2c\://\: HTTP/2 without TLS]:ADDR: ' \
      '*--domain[get certificates for NAME by ACME and renew them; may be given several times. Without --listen it listens at \:443; what comes to port 80, or to --listen http\://ADDR, is sent to https]:NAME: ' \
      '*--email[where the authority of --domain may write to]:ADDR: ' \
      '*--staging[use the staging authority of Let'\''s Encrypt, whose certificates nobody trusts\: for trials]' \
      '*--acme-directory[use another authority than Let'\''s Encrypt]:URL: ' \
      '*--health[ask each peer for PATH every second; a peer is used only while it answers 200]:PATH:_files' \
      '*--cache[keep responses that may be shared in so much memory, such as 256M, and answer from there]:SIZE: ' \
      '*--tls-cert[certificate (PEM, with its chain) for TLS with clients]:FILE:_files' \
      '*--tls-key[its key (PEM)]:FILE:_files' \
      '*--ca[authorities for the certificates of https\:// peers (PEM), instead of the system'\''s]:FILE:_files' \
      '*--insecure-skip-verify[do not verify the certificates of https\:// peers\: others on the way can read and change all]' \
      '*--change-host[send the peer its own name in Host, instead of the client'\''s Host]' \
      '*--compress[compress responses for clients that accept it\: zstd, br or gzip]' \
      '*--trusted-proxies[load balancers in front, such as 10.0.0.0/8, whose X-Forwarded-For or Forwarded says who the client is; may be given several times, or as a list with commas]:NETWORK: ' \
      '*--print-config[do not serve\: print the settings in effect (run), or the same as a script (proxy, files)]' \
      '*--workers[worker threads; auto\: one for each core]:N: ' \
      '*--grace[seconds in which a graceful stop ends]:TIME: ' \
      '*--upgrade-grace[seconds in which the old process ends after an upgrade]:TIME: ' \
      '*--drain[seconds that an old policy'\''s background work has after a reload; requests still on it are only reported]:TIME: ' \
      '*--reload-timeout[seconds within which the workers must switch; after that, a reload says which have not]:TIME: ' \
      '*--upgrade-timeout[seconds within which the new process must serve, or the upgrade fails]:TIME: ' \
      '*--low-latency[under load, serve at once instead of collecting events for up to 0.1 ms]' \
      '*--watch[reload when a file of the policy changes]' \
      '*--repl[let root and this user evaluate Lua in the workers\: perilune repl]' \
      '*--daemon[continue in the background once the policy serves]' \
      '*--pid-file[file with the process id]:FILE:_files' \
      '*--socket[path of the command socket; empty\: an abstract one]:FILE:_files' \
      '*--user[user to become once the listeners are open]:NAME: ' \
      '*--group[group to become; empty\: the user'\''s]:NAME: ' \
      '*--admin[loopback address or unix\:/path of the status page and /metrics]:ADDR: ' \
      '*--admin-public[admin may be an address that others can reach]' \
      '*--error-log[a file, stderr or syslog]:WHERE: ' \
      '*--access-log[a file, stdout, stderr or syslog; with \:json after it, lines of JSON]:WHERE: ' \
      '*--log-level[debug, info, warn or error]:LEVEL:(debug info warn error)' ;;
    files) _arguments \
      '*--listen[where to listen; may be given several times. With --tls-cert it speaks TLS, except for http\://ADDR]:ADDR: ' \
      '*--tls-cert[certificate (PEM, with its chain) for TLS with clients]:FILE:_files' \
      '*--tls-key[its key (PEM)]:FILE:_files' \
      '*--compress[compress responses for clients that accept it\: zstd, br or gzip]' \
      '*--list[list folders that have no index]' \
      '*--index[the file that stands for its folder (index.html)]:NAME: ' \
      '*--hidden[serve names that begin with a dot, too]' \
      '*--print-config[do not serve\: print the settings in effect (run), or the same as a script (proxy, files)]' \
      '*--workers[worker threads; auto\: one for each core]:N: ' \
      '*--grace[seconds in which a graceful stop ends]:TIME: ' \
      '*--upgrade-grace[seconds in which the old process ends after an upgrade]:TIME: ' \
      '*--drain[seconds that an old policy'\''s background work has after a reload; requests still on it are only reported]:TIME: ' \
      '*--reload-timeout[seconds within which the workers must switch; after that, a reload says which have not]:TIME: ' \
      '*--upgrade-timeout[seconds within which the new process must serve, or the upgrade fails]:TIME: ' \
      '*--low-latency[under load, serve at once instead of collecting events for up to 0.1 ms]' \
      '*--watch[reload when a file of the policy changes]' \
      '*--repl[let root and this user evaluate Lua in the workers\: perilune repl]' \
      '*--daemon[continue in the background once the policy serves]' \
      '*--pid-file[file with the process id]:FILE:_files' \
      '*--socket[path of the command socket; empty\: an abstract one]:FILE:_files' \
      '*--user[user to become once the listeners are open]:NAME: ' \
      '*--group[group to become; empty\: the user'\''s]:NAME: ' \
      '*--admin[loopback address or unix\:/path of the status page and /metrics]:ADDR: ' \
      '*--admin-public[admin may be an address that others can reach]' \
      '*--error-log[a file, stderr or syslog]:WHERE: ' \
      '*--access-log[a file, stdout, stderr or syslog; with \:json after it, lines of JSON]:WHERE: ' \
      '*--log-level[debug, info, warn or error]:LEVEL:(debug info warn error)' '*:file:_files' ;;
    check) _arguments \
      '*--strict[refuse a policy of which check has warnings, too; reload refuses what it otherwise only warns of]' \
      '*--workers[worker threads; auto\: one for each core]:N: ' \
      '*--grace[seconds in which a graceful stop ends]:TIME: ' \
      '*--upgrade-grace[seconds in which the old process ends after an upgrade]:TIME: ' \
      '*--drain[seconds that an old policy'\''s background work has after a reload; requests still on it are only reported]:TIME: ' \
      '*--reload-timeout[seconds within which the workers must switch; after that, a reload says which have not]:TIME: ' \
      '*--upgrade-timeout[seconds within which the new process must serve, or the upgrade fails]:TIME: ' \
      '*--low-latency[under load, serve at once instead of collecting events for up to 0.1 ms]' \
      '*--pid-file[file with the process id]:FILE:_files' \
      '*--socket[path of the command socket; empty\: an abstract one]:FILE:_files' \
      '*--user[user to become once the listeners are open]:NAME: ' \
      '*--group[group to become; empty\: the user'\''s]:NAME: ' \
      '*--admin[loopback address or unix\:/path of the status page and /metrics]:ADDR: ' \
      '*--admin-public[admin may be an address that others can reach]' \
      '*--error-log[a file, stderr or syslog]:WHERE: ' \
      '*--access-log[a file, stdout, stderr or syslog; with \:json after it, lines of JSON]:WHERE: ' \
      '*--log-level[debug, info, warn or error]:LEVEL:(debug info warn error)' '*:file:_files' ;;
    test) _arguments '*:file:_files' ;;
    reload) _arguments \
      '*--canary[try the new policy on this share of the requests first, for instance 5%, then on all or none]:SHARE: ' \
      '*--shadow[run the new policy on copies of request heads, and report where it decides differently]' \
      '*--for[how long a --canary or --shadow takes (30s)]:TIME: ' \
      '*--max-errors[by how much the trial'\''s share of errors may exceed that of the present policy (1%)]:SHARE: ' \
      '*--strict[refuse a policy of which check has warnings, too; reload refuses what it otherwise only warns of]' \
      '*--abort[end the current canary, shadow or load; the policy in force stays]' \
      '*--close-old[load nothing\: close the connections that still use older policies]' \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' ;;
    upgrade) _arguments \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' ;;
    status) _arguments \
      '*--json[as JSON, for programs]' \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' ;;
    backend) _arguments \
      '*--for[how long drain waits for the requests that the backend has (30s); then it says how many are left]:TIME: ' \
      '*--forget[take back what was said\: of a backend, of a set, or of all; give no ACTION with it]' \
      '*--json[as JSON, for programs]' \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' '*:word: ' ;;
    log-level) _arguments \
      '*--for[how long; then the configured level holds again. Without it\: until the process ends]:TIME: ' \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' '*:word: ' ;;
    ps) _arguments \
      '*--json[as JSON, for programs]' ;;
    profile) _arguments \
      '*--for[how long it looks (10s)]:TIME: ' \
      '*-o[write it to this file]:FILE:_files' \
      '*--folded[as text instead of SVG\: a line for each stack, and its microseconds; without -o, to standard output]' \
      '*--wait[not the time of the processor, but that for which hooks wait, by the line that waits]' \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' ;;
    trace) _arguments \
      '*--match[path, host, method, peer or error, as in '\''path=/api*'\''; may be given several times\: all must hold]:NAME=PATTERN: ' \
      '*--status[503, 5xx or 400-499]:STATUS: ' \
      '*--slower[those that took so long, or longer]:TIME: ' \
      '*--client[an address, or a network such as 10.0.0.0/8]:NETWORK: ' \
      '*--count[end after so many]:N: ' \
      '*--no-fields[leave the fields out]' \
      '*--recent[show recent failures and the slowest calls of hooks, which are kept, with less detail; and end]' \
      '*--json[as JSON, for programs]' \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' ;;
    top) _arguments \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' ;;
    record) _arguments \
      '*--for[for how long (60s)]:TIME: ' \
      '*--share[of so many of the requests, by chance (100%)]:SHARE: ' \
      '*-o[write it to this file]:FILE:_files' \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' ;;
    replay) _arguments \
      '*--policy[the policy that is asked]:SCRIPT:_files' \
      '*--against[the policy that it is compared with; without it\: what the recording says]:SCRIPT:_files' '*:file:_files' ;;
    repl) _arguments \
      '*--worker[in which worker'\''s VM\: its number, from 0 (0), or control]:NUMBER: ' \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' '*:word: ' ;;
    purge) _arguments \
      '*--url[the response to this URL, with all that it varies on]:URL: ' \
      '*--prefix[all URLs that begin so, for instance https\://a.example/images/; https\://a.example\: all of that host]:URL: ' \
      '*--tag[all responses that have this name in Surrogate-Key, Cache-Tag or Cache-Groups]:NAME: ' \
      '*--all[everything]' \
      '*--soft[do not forget them, but take them for stale\: the peer is asked whether they are still good]' \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' '*:word: ' ;;
    bundle) _arguments \
      '*--key[the private key (Ed25519, PEM)]:FILE:_files' \
      '*-o[write the bundle to this file]:FILE:_files' \
      '*--version[its version, a whole number (Unix time)]:N: ' \
      '*--main[the script in DIR that is run (policy.lua)]:FILE:_files' \
      '*--stages[shares of the proxies, and when, for instance 1%,25%@10m,100%@30m\: a proxy has its place by a hash of its name]:LIST: ' \
      '*--canary[each proxy tries it on this share of its requests first, for instance 5%]:SHARE: ' \
      '*--for[how long a --canary takes (30s)]:TIME: ' \
      '*--max-errors[by how much the trial'\''s share of errors may exceed that of the present policy (1%)]:SHARE: ' '*:file:_files' ;;
    hash-password) _arguments \
      '*--method[yescrypt, bcrypt or argon2id (yescrypt)]:METHOD: ' '*:word: ' ;;
    stop) _arguments \
      '*--now[without waiting for current requests]' \
      '*--pid[the running proxy with that process id]:PID: ' \
      '*--pid-file[the proxy that has written this file]:FILE:_files' \
      '*--socket[the proxy with this command socket; without these three options\: the only one that runs]:PATH:_files' ;;
    version) _arguments ;;
    help) _arguments \
      '*--man[print the source of a man page]' \
      '*--completion[print a script that completes the command line in bash, zsh or fish]:SHELL: ' '1:command:->commands' ;;
  esac
}
_perilune "$@"
