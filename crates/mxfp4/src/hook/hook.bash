# The prompt hook of mxfp4 for bash. Put this into ~/.bashrc: eval "$(mxfp4 hook bash)"
#
# At a prompt it asks mxfp4 only where something has changed: `_mxfp4_unchanged`,
# which every answer defines anew, compares without starting a program.
_mxfp4_told=
_mxfp4_unchanged() { return 1; }
_mxfp4_hook() {
    local before=$? code
    if ! _mxfp4_unchanged && [[ -x @MXFP4@ ]] && code=$(@MXFP4@ hook-env bash "$_mxfp4_told"); then
        eval "$code"
    fi
    return "$before"
}
# Where it is an array, this is its first element.
[[ ${PROMPT_COMMAND-} == *_mxfp4_hook* ]] ||
    PROMPT_COMMAND="_mxfp4_hook${PROMPT_COMMAND:+; $PROMPT_COMMAND}"
