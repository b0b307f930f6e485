# The prompt hook of mxfp4 for bash. Put this into ~/.bashrc: eval "$(mxfp4 hook bash)"
#
# At a prompt it asks mxfp4 only where something has changed: `_mxfp4_unchanged`,
# which every answer defines anew, compares without starting a program.
_mxfp4_told=
_mxfp4_memory=
_mxfp4_unchanged() { return 1; }
_mxfp4_hook() {
    local before=$? code
    if ! _mxfp4_unchanged && [[ -x @MXFP4@ ]] &&
        code=$(@MXFP4@ hook-env bash "$_mxfp4_told" "$_mxfp4_memory"); then
        # Whatever the user has said about commands that fail: what is readonly stays as it is.
        eval "$code" || :
    fi
    # What is run after this may ask for the last command's status. `set -e` and a trap for
    # failures would take it for one of this function's.
    [[ $before != 0 && $- != *e* && -z $(trap -p ERR) ]] || return 0
    return "$before"
}
# After the hooks of others. direnv, for one, brings PATH back as it found it.
_mxfp4_install() {
    local attributes all
    attributes=$(declare -p PROMPT_COMMAND 2>/dev/null) || attributes=
    attributes=${attributes#declare } attributes=${attributes%% *}
    all="${PROMPT_COMMAND[*]-} ${precmd_functions[*]-}"
    case $all in *_mxfp4_hook*) return 0 ;; esac
    if [[ $all == *__bp_interactive_mode* ]]; then
        # bash-preexec takes what comes after its own last command for one of the user's.
        precmd_functions+=(_mxfp4_hook)
        return 0
    fi
    case $attributes in
        *r*)
            echo 'mxfp4: PROMPT_COMMAND is readonly, so that the prompt hook cannot run; make it readonly after the line with `mxfp4 hook bash`' >&2
            ;;
        *a*)
            # Before bash 5.1 only the first element is run.
            if [[ ${BASH_VERSINFO[0]}${BASH_VERSINFO[1]} > 50 ]]; then
                PROMPT_COMMAND+=(_mxfp4_hook)
            else
                PROMPT_COMMAND[0]="${PROMPT_COMMAND[0]:+${PROMPT_COMMAND[0]};}_mxfp4_hook"
            fi
            ;;
        *)
            all=${PROMPT_COMMAND-}
            all="${all%"${all##*[![:space:]]}"}"
            case $all in
                '') PROMPT_COMMAND=_mxfp4_hook ;;
                *[\;\&] | *\#*) PROMPT_COMMAND=$all$'\n'_mxfp4_hook ;;
                *) PROMPT_COMMAND="$all;_mxfp4_hook" ;;
            esac
            ;;
    esac
}
_mxfp4_install
unset -f _mxfp4_install
