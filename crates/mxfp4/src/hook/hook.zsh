# The prompt hook of mxfp4 for zsh. Put this into ~/.zshrc: eval "$(mxfp4 hook zsh)"
#
# At a prompt it asks mxfp4 only where something has changed: `_mxfp4_unchanged`,
# which every answer defines anew, compares without starting a program.
_mxfp4_told=
_mxfp4_unchanged() { return 1; }
_mxfp4_hook() {
    local before=$? code
    if ! _mxfp4_unchanged && [[ -x @MXFP4@ ]] && code=$(@MXFP4@ hook-env zsh "$_mxfp4_told"); then
        eval "$code"
    fi
    return "$before"
}
typeset -ag precmd_functions
(( ${precmd_functions[(I)_mxfp4_hook]} )) || precmd_functions=(_mxfp4_hook $precmd_functions)
