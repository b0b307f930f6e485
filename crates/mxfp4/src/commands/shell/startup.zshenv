# Made by `mxfp4 shell`: the user's .zshenv, and then our .zshrc.
_mxfp4_folder=$ZDOTDIR
unset ZDOTDIR
[[ -v MXFP4_ZDOTDIR ]] && export ZDOTDIR="$MXFP4_ZDOTDIR"
unset MXFP4_ZDOTDIR
[[ -r ${ZDOTDIR-$HOME}/.zshenv ]] && . "${ZDOTDIR-$HOME}/.zshenv"
# Where the user's other files are, which that file may have decided.
[[ -v ZDOTDIR ]] && _mxfp4_zdotdir=$ZDOTDIR
ZDOTDIR=$_mxfp4_folder
unset _mxfp4_folder
