# The prompt hook of mxfp4 for zsh. Put this into ~/.zshrc: eval "$(mxfp4 hook zsh)"
#
# At a prompt it asks mxfp4 only where something has changed: `_mxfp4_unchanged`,
# which every answer defines anew, compares without starting a program.
typeset -g _mxfp4_told= _mxfp4_memory= _mxfp4_path=
_mxfp4_unchanged() { return 1; }
_mxfp4_hook() {
    # Whatever the user's options are.
    emulate -LR zsh
    local code
    if ! _mxfp4_unchanged && [[ -x @MXFP4@ ]] &&
        code=$(@MXFP4@ hook-env zsh "$_mxfp4_told" "$_mxfp4_memory"); then
        eval "$code"
    fi
    # zsh itself keeps the status of the last command.
    return 0
}
# After direnv, which brings PATH back as it found it, and before those that make the prompt.
() {
    emulate -LR zsh
    typeset -ag precmd_functions
    (( ${precmd_functions[(I)_mxfp4_hook]} )) && return
    local at=${precmd_functions[(I)_direnv_hook]}
    precmd_functions=(${precmd_functions[1,at]} _mxfp4_hook ${precmd_functions[at+1,-1]})
}
