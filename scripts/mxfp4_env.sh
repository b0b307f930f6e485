# Sets the workspace's environment in this shell: source scripts/mxfp4_env.sh
#
# From bash and zsh, and from any folder; other shells say eval "$(mxfp4 env)".
# The binary computes everything; this file only finds it.

if [ -n "${ZSH_VERSION-}" ]; then
    # Not `%x`, which shows a newline in the path as something else.
    _mxfp4_script=$0
else
    _mxfp4_script=${BASH_SOURCE:-scripts/mxfp4_env.sh}
fi

_mxfp4_env() {
    local root binary code
    case $1 in
        */scripts/mxfp4_env.sh) root=${1%/scripts/mxfp4_env.sh} ;;
        scripts/mxfp4_env.sh) root=. ;;
        */*) root=${1%/*}/.. ;;
        *) root=.. ;;
    esac
    binary=$root/target/release/mxfp4
    if [ ! -x "$binary" ]; then
        binary=$(command -v mxfp4) || {
            echo "mxfp4_env.sh: no mxfp4 here: run \`cargo build --release\`" >&2
            return 1
        }
    fi
    code=$("$binary" --root "$root/" env --shell posix) && eval "$code"
}

_mxfp4_env "$_mxfp4_script"
_mxfp4_status=$?
unset _mxfp4_script
unset -f _mxfp4_env
# The status of the file is that of its last command, and the variable must go.
eval "unset _mxfp4_status; [ $_mxfp4_status -eq 0 ]"
