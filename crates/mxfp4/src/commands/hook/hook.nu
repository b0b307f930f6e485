# The prompt hook of mxfp4 for nu. Once: mxfp4 hook nu | save -f ~/.config/nushell/mxfp4.nu
# and in config.nu: source ~/.config/nushell/mxfp4.nu
#
# At a prompt it asks mxfp4 only where something has changed: the answer says what
# to look at, and nu looks without starting a program. It is kept as a record,
# which is not passed on to programs.
def _mxfp4_unchanged [] {
    let last = ($env | get --optional MXFP4_LAST)
    if $last == null or $last.ask or $env.PWD != $last.pwd { return false }
    if ($env | get --optional MXFP4_SDK | default "") != $last.sdk { return false }
    if $last.needs_path and ($env | get --optional PATH) != $last.path { return false }
    # What cannot be looked at is an error in nu.
    try {
        if false in ($last.there | path exists) or true in ($last.gone | path exists) { return false }
        $last.file == null or (open --raw $last.file | into binary) == ($last.text | into binary)
    } catch { false }
}
def --env _mxfp4_hook [] {
    if (_mxfp4_unchanged) or not (@MXFP4@ | path exists) { return }
    let last = $env.MXFP4_LAST
    let answer = (try { ^@MXFP4@ hook-env nu $last.told $last.memory | from json } catch { null })
    if $answer == null { return }
    hide-env --ignore-errors ...$answer.unset
    # One that nu was started with is back when a later value of it is hidden; null
    # is not passed on to programs.
    let back = ($answer.unset | where {|name| ($env | get --optional $name) != null })
    load-env ($back | reduce --fold {} {|name, all| $all | insert $name null })
    load-env ($answer.set | reject --optional PATH)
    if "PATH" in $answer.set { $env.PATH = ($answer.set.PATH | split row ":") }
    $env.MXFP4_LAST = ($answer.last | insert path ($env | get --optional PATH))
}
$env.config.hooks.pre_prompt = ($env.config.hooks.pre_prompt? | default [] | append {||
    if ($env | get --optional MXFP4_LAST) != null { return }
    $env.MXFP4_LAST = {ask: true, told: "", memory: ""}
    # After the hooks of others, which are all there by now: direnv, for one, brings
    # PATH back as it found it.
    $env.config.hooks.pre_prompt = ($env.config.hooks.pre_prompt | append {|| _mxfp4_hook })
    _mxfp4_hook
})
