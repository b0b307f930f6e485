# Made by `mxfp4 shell`: the user's .zshrc, and then the workspace's environment.
if [[ -v _mxfp4_zdotdir ]]; then ZDOTDIR=$_mxfp4_zdotdir; else unset ZDOTDIR; fi
unset _mxfp4_zdotdir
[[ -r ${ZDOTDIR-$HOME}/.zshrc ]] && . "${ZDOTDIR-$HOME}/.zshrc"
