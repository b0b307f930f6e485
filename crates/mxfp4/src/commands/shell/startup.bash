# Made by `mxfp4 shell`: the user's start-up file, and then the workspace's environment.
if [ -r ~/.bashrc ]; then . ~/.bashrc; fi
