# SPDX-License-Identifier: Apache-2.0
# Completion for bash: commands, their options, scripts. It asks the program itself, whose help it reads.
_perilune() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} words=
  local command=${COMP_WORDS[1]}
  if [ "$COMP_CWORD" = 1 ] || { [ "$COMP_CWORD" = 2 ] && [ "$command" = help ]; }; then
    words=$("$program" help 2>/dev/null | sed -n 's/^  perilune \([a-z-]*\).*/\1/p')
  elif [ "${word#-}" != "$word" ]; then
    words=$("$program" help "$command" 2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p')
  elif [ "$before" = --log-level ]; then
    words='debug info warn error'
  elif [ "$before" = --user ] || [ "$before" = --group ]; then
    words=$(compgen "--${before#--}")
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _perilune perilune
