# SPDX-License-Identifier: Apache-2.0
# Written by 'perilune help --completion bash': change core/cli/words.c, then 'make docs'.
_perilune() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words=
  if [ "$COMP_CWORD" = 1 ] || { [ "$COMP_CWORD" = 2 ] && [ "${COMP_WORDS[1]}" = help ]; }; then
    words='run proxy files check test reload upgrade status backend log-level ps profile trace top record replay repl purge bundle hash-password stop version help'
  elif [ "$before" = --log-level ]; then
    words='debug info warn error'
  elif [ "$before" = --user ] || [ "$before" = --group ]; then
    words=$(compgen "--${before#--}")
  elif [ "${word#-}" != "$word" ]; then
  case ${COMP_WORDS[1]} in
  run) words='--break --print-config --bundle --bundle-key --bundle-dir --bundle-ca --bundle-token-file --bundle-cert --bundle-cert-key --bundle-every --bundle-node --workers --grace --upgrade-grace --drain --reload-timeout --upgrade-timeout --low-latency --watch --repl --daemon --pid-file --socket --user --group --admin --admin-public --error-log --access-log --log-level' ;;
  proxy) words='--listen --to --domain --email --staging --acme-directory --health --cache --tls-cert --tls-key --ca --insecure-skip-verify --change-host --compress --trusted-proxies --print-config --workers --grace --upgrade-grace --drain --reload-timeout --upgrade-timeout --low-latency --watch --repl --daemon --pid-file --socket --user --group --admin --admin-public --error-log --access-log --log-level' ;;
  files) words='--listen --tls-cert --tls-key --compress --list --index --hidden --print-config --workers --grace --upgrade-grace --drain --reload-timeout --upgrade-timeout --low-latency --watch --repl --daemon --pid-file --socket --user --group --admin --admin-public --error-log --access-log --log-level' ;;
  check) words='--strict --workers --grace --upgrade-grace --drain --reload-timeout --upgrade-timeout --low-latency --pid-file --socket --user --group --admin --admin-public --error-log --access-log --log-level' ;;
  test) words='' ;;
  reload) words='--canary --shadow --for --max-errors --strict --abort --close-old --pid --pid-file --socket' ;;
  upgrade) words='--pid --pid-file --socket' ;;
  status) words='--json --pid --pid-file --socket' ;;
  backend) words='--for --forget --json --pid --pid-file --socket' ;;
  log-level) words='--for --pid --pid-file --socket' ;;
  ps) words='--json' ;;
  profile) words='--for -o --folded --wait --pid --pid-file --socket' ;;
  trace) words='--match --status --slower --client --count --no-fields --recent --json --pid --pid-file --socket' ;;
  top) words='--pid --pid-file --socket' ;;
  record) words='--for --share -o --pid --pid-file --socket' ;;
  replay) words='--policy --against' ;;
  repl) words='--worker --pid --pid-file --socket' ;;
  purge) words='--url --prefix --tag --all --soft --pid --pid-file --socket' ;;
  bundle) words='--key -o --version --main --stages --canary --for --max-errors' ;;
  hash-password) words='--method' ;;
  stop) words='--now --pid --pid-file --socket' ;;
  version) words='' ;;
  help) words='--man --completion' ;;
  esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _perilune perilune
