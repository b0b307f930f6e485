do --env {
    let all = (^@MXFP4@ --root @ROOT@ env --json | from json | transpose name value)
    hide-env --ignore-errors ...($all | where value == null | get name)
    load-env ($all | where value != null | reduce --fold {} {|one, set|
        $set | insert $one.name (if $one.name == "PATH" { $one.value | split row ":" } else { $one.value })
    })
}
