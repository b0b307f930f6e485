# The prompt hook of mxfp4 for fish. Put this into ~/.config/fish/config.fish: mxfp4 hook fish | source
#
# At a prompt it asks mxfp4 only where something has changed: `_mxfp4_unchanged`,
# which every answer defines anew, compares without starting a program.
set -g _mxfp4_told ''
set -g _mxfp4_memory ''
function _mxfp4_unchanged
    return 1
end
function _mxfp4_ask
    _mxfp4_unchanged; and return
    test -x @MXFP4@; or return
    @MXFP4@ hook-env fish "$_mxfp4_told" "$_mxfp4_memory" | source
end
function _mxfp4_hook --on-event fish_prompt
    # After the hooks of others, which are all there by now: direnv, for one, brings PATH back as it found it.
    function _mxfp4_hook --on-event fish_prompt
        _mxfp4_ask
    end
    _mxfp4_ask
end
