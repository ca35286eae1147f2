# SPDX-License-Identifier: Apache-2.0
# Written by 'perilune help --completion fish': change core/cli/words.c, then 'make docs'.
complete -c perilune -f -n __fish_use_subcommand -a run -d 'serve with a policy'
complete -c perilune -n '__fish_seen_subcommand_from run' -l break -d 'in development: stop what comes to that line, and ask in the terminal; everything else goes on. May be given several times' -r -F
complete -c perilune -n '__fish_seen_subcommand_from run' -l print-config -d 'do not serve: print the settings in effect (run), or the same as a script (proxy, files)'
complete -c perilune -n '__fish_seen_subcommand_from run' -l bundle -d 'run the policy of a signed bundle, which is fetched again and again; without SCRIPT' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l bundle-key -d 'public keys (Ed25519, PEM), one of which must have signed the bundle' -r -F
complete -c perilune -n '__fish_seen_subcommand_from run' -l bundle-dir -d 'where bundles are unpacked and the last good one is kept (/var/lib/perilune/bundle, or below $STATE_DIRECTORY)' -r -F
complete -c perilune -n '__fish_seen_subcommand_from run' -l bundle-ca -d 'authorities (PEM) whose certificates the server of the bundle may show (the system\'s)' -r -F
complete -c perilune -n '__fish_seen_subcommand_from run' -l bundle-token-file -d 'a file with a token, which is sent as Authorization: Bearer; read again when it changes' -r -F
complete -c perilune -n '__fish_seen_subcommand_from run' -l bundle-cert -d 'the certificate (PEM) by which the server of the bundle knows this proxy; read again when it changes' -r -F
complete -c perilune -n '__fish_seen_subcommand_from run' -l bundle-cert-key -d 'its key (PEM)' -r -F
complete -c perilune -n '__fish_seen_subcommand_from run' -l bundle-every -d 'how often it is asked for (30s)' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l bundle-node -d 'what this proxy is called, for the stages of a bundle (the machine\'s name)' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l workers -d 'worker threads; auto: one for each core' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l grace -d 'seconds in which a graceful stop ends' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l upgrade-grace -d 'seconds in which the old process ends after an upgrade' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l drain -d 'seconds that an old policy\'s background work has after a reload; requests still on it are only reported' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l reload-timeout -d 'seconds within which the workers must switch; after that, a reload says which have not' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l upgrade-timeout -d 'seconds within which the new process must serve, or the upgrade fails' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l low-latency -d 'under load, serve at once instead of collecting events for up to 0.1 ms'
complete -c perilune -n '__fish_seen_subcommand_from run' -l watch -d 'reload when a file of the policy changes'
complete -c perilune -n '__fish_seen_subcommand_from run' -l repl -d 'let root and this user evaluate Lua in the workers: perilune repl'
complete -c perilune -n '__fish_seen_subcommand_from run' -l daemon -d 'continue in the background once the policy serves'
complete -c perilune -n '__fish_seen_subcommand_from run' -l pid-file -d 'file with the process id' -r -F
complete -c perilune -n '__fish_seen_subcommand_from run' -l socket -d 'path of the command socket; empty: an abstract one' -r -F
complete -c perilune -n '__fish_seen_subcommand_from run' -l user -d 'user to become once the listeners are open' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l group -d 'group to become; empty: the user\'s' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l admin -d 'loopback address or unix:/path of the status page and /metrics' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l admin-public -d 'admin may be an address that others can reach'
complete -c perilune -n '__fish_seen_subcommand_from run' -l error-log -d 'a file, stderr or syslog' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l access-log -d 'a file, stdout, stderr or syslog; with :json after it, lines of JSON' -x
complete -c perilune -n '__fish_seen_subcommand_from run' -l log-level -d 'debug, info, warn or error' -x -a 'debug info warn error'
complete -c perilune -f -n __fish_use_subcommand -a proxy -d 'forward without a script, round robin'
complete -c perilune -f -n '__fish_seen_subcommand_from proxy'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l listen -d 'where to listen; may be given several times. With --tls-cert it speaks TLS, except for http://ADDR' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l to -d 'where to forward to; may be given several times, or as a list with commas; https://HOST[:PORT]: with TLS, h2://HOST[:PORT]: HTTP/2 with TLS, h2c://: HTTP/2 without TLS' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l domain -d 'get certificates for NAME by ACME and renew them; may be given several times. Without --listen it listens at :443; what comes to port 80, or to --listen http://ADDR, is sent to https' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l email -d 'where the authority of --domain may write to' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l staging -d 'use the staging authority of Let\'s Encrypt, whose certificates nobody trusts: for trials'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l acme-directory -d 'use another authority than Let\'s Encrypt' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l health -d 'ask each peer for PATH every second; a peer is used only while it answers 200' -r -F
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l cache -d 'keep responses that may be shared in so much memory, such as 256M, and answer from there' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l tls-cert -d 'certificate (PEM, with its chain) for TLS with clients' -r -F
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l tls-key -d 'its key (PEM)' -r -F
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l ca -d 'authorities for the certificates of https:// peers (PEM), instead of the system\'s' -r -F
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l insecure-skip-verify -d 'do not verify the certificates of https:// peers: others on the way can read and change all'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l change-host -d 'send the peer its own name in Host, instead of the client\'s Host'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l compress -d 'compress responses for clients that accept it: zstd, br or gzip'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l trusted-proxies -d 'load balancers in front, such as 10.0.0.0/8, whose X-Forwarded-For or Forwarded says who the client is; may be given several times, or as a list with commas' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l print-config -d 'do not serve: print the settings in effect (run), or the same as a script (proxy, files)'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l workers -d 'worker threads; auto: one for each core' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l grace -d 'seconds in which a graceful stop ends' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l upgrade-grace -d 'seconds in which the old process ends after an upgrade' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l drain -d 'seconds that an old policy\'s background work has after a reload; requests still on it are only reported' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l reload-timeout -d 'seconds within which the workers must switch; after that, a reload says which have not' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l upgrade-timeout -d 'seconds within which the new process must serve, or the upgrade fails' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l low-latency -d 'under load, serve at once instead of collecting events for up to 0.1 ms'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l watch -d 'reload when a file of the policy changes'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l repl -d 'let root and this user evaluate Lua in the workers: perilune repl'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l daemon -d 'continue in the background once the policy serves'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l pid-file -d 'file with the process id' -r -F
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l socket -d 'path of the command socket; empty: an abstract one' -r -F
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l user -d 'user to become once the listeners are open' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l group -d 'group to become; empty: the user\'s' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l admin -d 'loopback address or unix:/path of the status page and /metrics' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l admin-public -d 'admin may be an address that others can reach'
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l error-log -d 'a file, stderr or syslog' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l access-log -d 'a file, stdout, stderr or syslog; with :json after it, lines of JSON' -x
complete -c perilune -n '__fish_seen_subcommand_from proxy' -l log-level -d 'debug, info, warn or error' -x -a 'debug info warn error'
complete -c perilune -f -n __fish_use_subcommand -a files -d 'serve the files of a folder'
complete -c perilune -n '__fish_seen_subcommand_from files' -l listen -d 'where to listen; may be given several times. With --tls-cert it speaks TLS, except for http://ADDR' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l tls-cert -d 'certificate (PEM, with its chain) for TLS with clients' -r -F
complete -c perilune -n '__fish_seen_subcommand_from files' -l tls-key -d 'its key (PEM)' -r -F
complete -c perilune -n '__fish_seen_subcommand_from files' -l compress -d 'compress responses for clients that accept it: zstd, br or gzip'
complete -c perilune -n '__fish_seen_subcommand_from files' -l list -d 'list folders that have no index'
complete -c perilune -n '__fish_seen_subcommand_from files' -l index -d 'the file that stands for its folder (index.html)' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l hidden -d 'serve names that begin with a dot, too'
complete -c perilune -n '__fish_seen_subcommand_from files' -l print-config -d 'do not serve: print the settings in effect (run), or the same as a script (proxy, files)'
complete -c perilune -n '__fish_seen_subcommand_from files' -l workers -d 'worker threads; auto: one for each core' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l grace -d 'seconds in which a graceful stop ends' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l upgrade-grace -d 'seconds in which the old process ends after an upgrade' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l drain -d 'seconds that an old policy\'s background work has after a reload; requests still on it are only reported' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l reload-timeout -d 'seconds within which the workers must switch; after that, a reload says which have not' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l upgrade-timeout -d 'seconds within which the new process must serve, or the upgrade fails' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l low-latency -d 'under load, serve at once instead of collecting events for up to 0.1 ms'
complete -c perilune -n '__fish_seen_subcommand_from files' -l watch -d 'reload when a file of the policy changes'
complete -c perilune -n '__fish_seen_subcommand_from files' -l repl -d 'let root and this user evaluate Lua in the workers: perilune repl'
complete -c perilune -n '__fish_seen_subcommand_from files' -l daemon -d 'continue in the background once the policy serves'
complete -c perilune -n '__fish_seen_subcommand_from files' -l pid-file -d 'file with the process id' -r -F
complete -c perilune -n '__fish_seen_subcommand_from files' -l socket -d 'path of the command socket; empty: an abstract one' -r -F
complete -c perilune -n '__fish_seen_subcommand_from files' -l user -d 'user to become once the listeners are open' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l group -d 'group to become; empty: the user\'s' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l admin -d 'loopback address or unix:/path of the status page and /metrics' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l admin-public -d 'admin may be an address that others can reach'
complete -c perilune -n '__fish_seen_subcommand_from files' -l error-log -d 'a file, stderr or syslog' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l access-log -d 'a file, stdout, stderr or syslog; with :json after it, lines of JSON' -x
complete -c perilune -n '__fish_seen_subcommand_from files' -l log-level -d 'debug, info, warn or error' -x -a 'debug info warn error'
complete -c perilune -f -n __fish_use_subcommand -a check -d 'load a policy and look for mistakes, without opening anything'
complete -c perilune -n '__fish_seen_subcommand_from check' -l strict -d 'refuse a policy of which check has warnings, too; reload refuses what it otherwise only warns of'
complete -c perilune -n '__fish_seen_subcommand_from check' -l workers -d 'worker threads; auto: one for each core' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l grace -d 'seconds in which a graceful stop ends' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l upgrade-grace -d 'seconds in which the old process ends after an upgrade' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l drain -d 'seconds that an old policy\'s background work has after a reload; requests still on it are only reported' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l reload-timeout -d 'seconds within which the workers must switch; after that, a reload says which have not' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l upgrade-timeout -d 'seconds within which the new process must serve, or the upgrade fails' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l low-latency -d 'under load, serve at once instead of collecting events for up to 0.1 ms'
complete -c perilune -n '__fish_seen_subcommand_from check' -l pid-file -d 'file with the process id' -r -F
complete -c perilune -n '__fish_seen_subcommand_from check' -l socket -d 'path of the command socket; empty: an abstract one' -r -F
complete -c perilune -n '__fish_seen_subcommand_from check' -l user -d 'user to become once the listeners are open' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l group -d 'group to become; empty: the user\'s' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l admin -d 'loopback address or unix:/path of the status page and /metrics' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l admin-public -d 'admin may be an address that others can reach'
complete -c perilune -n '__fish_seen_subcommand_from check' -l error-log -d 'a file, stderr or syslog' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l access-log -d 'a file, stdout, stderr or syslog; with :json after it, lines of JSON' -x
complete -c perilune -n '__fish_seen_subcommand_from check' -l log-level -d 'debug, info, warn or error' -x -a 'debug info warn error'
complete -c perilune -f -n __fish_use_subcommand -a test -d 'test policies with busted and the API of the proxy'
complete -c perilune -f -n __fish_use_subcommand -a reload -d 'load the policy of a running proxy again'
complete -c perilune -f -n '__fish_seen_subcommand_from reload'
complete -c perilune -n '__fish_seen_subcommand_from reload' -l canary -d 'try the new policy on this share of the requests first, for instance 5%, then on all or none' -x
complete -c perilune -n '__fish_seen_subcommand_from reload' -l shadow -d 'run the new policy on copies of request heads, and report where it decides differently'
complete -c perilune -n '__fish_seen_subcommand_from reload' -l for -d 'how long a --canary or --shadow takes (30s)' -x
complete -c perilune -n '__fish_seen_subcommand_from reload' -l max-errors -d 'by how much the trial\'s share of errors may exceed that of the present policy (1%)' -x
complete -c perilune -n '__fish_seen_subcommand_from reload' -l strict -d 'refuse a policy of which check has warnings, too; reload refuses what it otherwise only warns of'
complete -c perilune -n '__fish_seen_subcommand_from reload' -l abort -d 'end the current canary, shadow or load; the policy in force stays'
complete -c perilune -n '__fish_seen_subcommand_from reload' -l close-old -d 'load nothing: close the connections that still use older policies'
complete -c perilune -n '__fish_seen_subcommand_from reload' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from reload' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from reload' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a upgrade -d 'replace a running proxy by the program file as it is now'
complete -c perilune -f -n '__fish_seen_subcommand_from upgrade'
complete -c perilune -n '__fish_seen_subcommand_from upgrade' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from upgrade' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from upgrade' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a status -d 'what a running proxy serves, how fast, and what goes wrong'
complete -c perilune -f -n '__fish_seen_subcommand_from status'
complete -c perilune -n '__fish_seen_subcommand_from status' -l json -d 'as JSON, for programs'
complete -c perilune -n '__fish_seen_subcommand_from status' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from status' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from status' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a backend -d 'drain, disable, enable or weigh a backend'
complete -c perilune -f -n '__fish_seen_subcommand_from backend'
complete -c perilune -n '__fish_seen_subcommand_from backend' -l for -d 'how long drain waits for the requests that the backend has (30s); then it says how many are left' -x
complete -c perilune -n '__fish_seen_subcommand_from backend' -l forget -d 'take back what was said: of a backend, of a set, or of all; give no ACTION with it'
complete -c perilune -n '__fish_seen_subcommand_from backend' -l json -d 'as JSON, for programs'
complete -c perilune -n '__fish_seen_subcommand_from backend' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from backend' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from backend' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a log-level -d 'show or change the level of a running proxy\'s error log'
complete -c perilune -f -n '__fish_seen_subcommand_from log-level'
complete -c perilune -n '__fish_seen_subcommand_from log-level' -l for -d 'how long; then the configured level holds again. Without it: until the process ends' -x
complete -c perilune -n '__fish_seen_subcommand_from log-level' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from log-level' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from log-level' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a ps -d 'which proxies run here, and how commands name them'
complete -c perilune -f -n '__fish_seen_subcommand_from ps'
complete -c perilune -n '__fish_seen_subcommand_from ps' -l json -d 'as JSON, for programs'
complete -c perilune -f -n __fish_use_subcommand -a profile -d 'where the hooks of a running proxy spend their time, by line'
complete -c perilune -f -n '__fish_seen_subcommand_from profile'
complete -c perilune -n '__fish_seen_subcommand_from profile' -l for -d 'how long it looks (10s)' -x
complete -c perilune -n '__fish_seen_subcommand_from profile' -s o -d 'write it to this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from profile' -l folded -d 'as text instead of SVG: a line for each stack, and its microseconds; without -o, to standard output'
complete -c perilune -n '__fish_seen_subcommand_from profile' -l wait -d 'not the time of the processor, but that for which hooks wait, by the line that waits'
complete -c perilune -n '__fish_seen_subcommand_from profile' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from profile' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from profile' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a trace -d 'look on at the requests of a running proxy, step by step'
complete -c perilune -f -n '__fish_seen_subcommand_from trace'
complete -c perilune -n '__fish_seen_subcommand_from trace' -l match -d 'path, host, method, peer or error, as in \'path=/api*\'; may be given several times: all must hold' -x
complete -c perilune -n '__fish_seen_subcommand_from trace' -l status -d '503, 5xx or 400-499' -x
complete -c perilune -n '__fish_seen_subcommand_from trace' -l slower -d 'those that took so long, or longer' -x
complete -c perilune -n '__fish_seen_subcommand_from trace' -l client -d 'an address, or a network such as 10.0.0.0/8' -x
complete -c perilune -n '__fish_seen_subcommand_from trace' -l count -d 'end after so many' -x
complete -c perilune -n '__fish_seen_subcommand_from trace' -l no-fields -d 'leave the fields out'
complete -c perilune -n '__fish_seen_subcommand_from trace' -l recent -d 'show recent failures and the slowest calls of hooks, which are kept, with less detail; and end'
complete -c perilune -n '__fish_seen_subcommand_from trace' -l json -d 'as JSON, for programs'
complete -c perilune -n '__fish_seen_subcommand_from trace' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from trace' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from trace' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a top -d 'watch a running proxy in the terminal'
complete -c perilune -f -n '__fish_seen_subcommand_from top'
complete -c perilune -n '__fish_seen_subcommand_from top' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from top' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from top' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a record -d 'record requests of a running proxy, for \'perilune replay\''
complete -c perilune -f -n '__fish_seen_subcommand_from record'
complete -c perilune -n '__fish_seen_subcommand_from record' -l for -d 'for how long (60s)' -x
complete -c perilune -n '__fish_seen_subcommand_from record' -l share -d 'of so many of the requests, by chance (100%)' -x
complete -c perilune -n '__fish_seen_subcommand_from record' -s o -d 'write it to this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from record' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from record' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from record' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a replay -d 'what a policy would have done with recorded requests'
complete -c perilune -n '__fish_seen_subcommand_from replay' -l policy -d 'the policy that is asked' -r -F
complete -c perilune -n '__fish_seen_subcommand_from replay' -l against -d 'the policy that it is compared with; without it: what the recording says' -r -F
complete -c perilune -f -n __fish_use_subcommand -a repl -d 'evaluate Lua in a running proxy that was started with --repl'
complete -c perilune -f -n '__fish_seen_subcommand_from repl'
complete -c perilune -n '__fish_seen_subcommand_from repl' -l worker -d 'in which worker\'s VM: its number, from 0 (0), or control' -x
complete -c perilune -n '__fish_seen_subcommand_from repl' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from repl' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from repl' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a purge -d 'let the cache of a running proxy forget responses'
complete -c perilune -f -n '__fish_seen_subcommand_from purge'
complete -c perilune -n '__fish_seen_subcommand_from purge' -l url -d 'the response to this URL, with all that it varies on' -x
complete -c perilune -n '__fish_seen_subcommand_from purge' -l prefix -d 'all URLs that begin so, for instance https://a.example/images/; https://a.example: all of that host' -x
complete -c perilune -n '__fish_seen_subcommand_from purge' -l tag -d 'all responses that have this name in Surrogate-Key, Cache-Tag or Cache-Groups' -x
complete -c perilune -n '__fish_seen_subcommand_from purge' -l all -d 'everything'
complete -c perilune -n '__fish_seen_subcommand_from purge' -l soft -d 'do not forget them, but take them for stale: the peer is asked whether they are still good'
complete -c perilune -n '__fish_seen_subcommand_from purge' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from purge' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from purge' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a bundle -d 'make a signed bundle of policy files, for \'run --bundle\''
complete -c perilune -n '__fish_seen_subcommand_from bundle' -l key -d 'the private key (Ed25519, PEM)' -r -F
complete -c perilune -n '__fish_seen_subcommand_from bundle' -s o -d 'write the bundle to this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from bundle' -l version -d 'its version, a whole number (Unix time)' -x
complete -c perilune -n '__fish_seen_subcommand_from bundle' -l main -d 'the script in DIR that is run (policy.lua)' -r -F
complete -c perilune -n '__fish_seen_subcommand_from bundle' -l stages -d 'shares of the proxies, and when, for instance 1%,25%@10m,100%@30m: a proxy has its place by a hash of its name' -x
complete -c perilune -n '__fish_seen_subcommand_from bundle' -l canary -d 'each proxy tries it on this share of its requests first, for instance 5%' -x
complete -c perilune -n '__fish_seen_subcommand_from bundle' -l for -d 'how long a --canary takes (30s)' -x
complete -c perilune -n '__fish_seen_subcommand_from bundle' -l max-errors -d 'by how much the trial\'s share of errors may exceed that of the present policy (1%)' -x
complete -c perilune -f -n __fish_use_subcommand -a hash-password -d 'make the hash of a password, for perilune.basic_auth'
complete -c perilune -f -n '__fish_seen_subcommand_from hash-password'
complete -c perilune -n '__fish_seen_subcommand_from hash-password' -l method -d 'yescrypt, bcrypt or argon2id (yescrypt)' -x
complete -c perilune -f -n __fish_use_subcommand -a stop -d 'end a running proxy after its current requests'
complete -c perilune -f -n '__fish_seen_subcommand_from stop'
complete -c perilune -n '__fish_seen_subcommand_from stop' -l now -d 'without waiting for current requests'
complete -c perilune -n '__fish_seen_subcommand_from stop' -l pid -d 'the running proxy with that process id' -x
complete -c perilune -n '__fish_seen_subcommand_from stop' -l pid-file -d 'the proxy that has written this file' -r -F
complete -c perilune -n '__fish_seen_subcommand_from stop' -l socket -d 'the proxy with this command socket; without these three options: the only one that runs' -r -F
complete -c perilune -f -n __fish_use_subcommand -a version -d 'print the version; also -v, -V and --version'
complete -c perilune -f -n '__fish_seen_subcommand_from version'
complete -c perilune -f -n __fish_use_subcommand -a help -d 'print this, or the options of a command; also COMMAND --help'
complete -c perilune -f -n '__fish_seen_subcommand_from help'
complete -c perilune -n '__fish_seen_subcommand_from help' -l man -d 'print the source of a man page'
complete -c perilune -n '__fish_seen_subcommand_from help' -l completion -d 'print a script that completes the command line in bash, zsh or fish' -x
complete -c perilune -f -n '__fish_seen_subcommand_from help' -a 'run proxy files check test reload upgrade status backend log-level ps profile trace top record replay repl purge bundle hash-password stop version help'
