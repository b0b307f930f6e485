//! What a new workspace holds: the files below `template`, in which `my_kernel` stands for the package's name.

use super::name::Name;

/// This repository's own, so that a new workspace has an SDK that is known to work.
const PYPROJECT: &str = include_str!("../../../../../python/pyproject.toml");
const LOCK: &str = include_str!("../../../../../python/uv.lock");

const FILES: [(&str, &str); 8] = [
    ("mxfp4.toml", include_str!("template/mxfp4.toml")),
    ("README.md", include_str!("template/README.md")),
    (".gitignore", include_str!("template/gitignore")),
    (
        "kernels/my_kernel/__init__.mojo",
        include_str!("template/kernels/my_kernel/__init__.mojo"),
    ),
    (
        "kernels/my_kernel/arithmetic.mojo",
        include_str!("template/kernels/my_kernel/arithmetic.mojo"),
    ),
    (
        "kernels/my_kernel/op.mojo",
        include_str!("template/kernels/my_kernel/op.mojo"),
    ),
    (
        "kernels/test/test_my_kernel.mojo",
        include_str!("template/kernels/test/test_my_kernel.mojo"),
    ),
    (
        "python/tests/test_my_kernel.py",
        include_str!("template/python/tests/test_my_kernel.py"),
    ),
];

/// The files of a workspace for the package `name`: where, below its root, and what.
pub fn files(name: &Name) -> Vec<(String, String)> {
    let named = |text: &str| {
        text.replace("my_kernel", name.as_str())
            .replace("MAX_VERSION", locked("max"))
            .replace("MOJO_VERSION", locked("mojo"))
    };
    let files = FILES.iter().map(|(file, text)| (named(file), named(text)));
    files
        .chain([
            ("python/pyproject.toml".to_owned(), pyproject(name)),
            ("python/uv.lock".to_owned(), lock()),
        ])
        .collect()
}

/// The dependencies and the settings of ours, under a name of its own.
fn pyproject(name: &Name) -> String {
    let mut text = String::new();
    for line in PYPROJECT.lines() {
        match line {
            r#"name = "mxfp4""# => text.push_str(r#"name = "kernels""#),
            _ if line.starts_with("description = ") => {
                text.push_str(&format!(
                    "description = \"The custom operation {name}, for MAX\""
                ));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn lock() -> String {
    LOCK.replacen("name = \"mxfp4\"\n", "name = \"kernels\"\n", 1)
}

/// The version of a package in the lock file.
fn locked(package: &str) -> &'static str {
    let (_, rest) = LOCK
        .split_once(&format!("\nname = \"{package}\"\nversion = \""))
        .unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_template_or_of_this_repository_is_left() {
        let files = files(&"fast_gelu".parse().unwrap());
        for (file, text) in &files {
            for word in [
                "my_kernel",
                "MAX_VERSION",
                "MOJO_VERSION",
                "gpt_oss",
                "GPT-OSS",
            ] {
                assert!(
                    !file.contains(word) && !text.contains(word),
                    "{word} in {file}"
                );
            }
        }
        let text = |name: &str| &files.iter().find(|(file, _)| file == name).unwrap().1;
        assert!(text("python/pyproject.toml").contains("name = \"kernels\"\n"));
        assert!(text("python/uv.lock").contains("name = \"kernels\"\nversion"));
        assert!(!text("python/uv.lock").contains("name = \"mxfp4\""));
        assert!(text("python/pyproject.toml").contains(&format!("\"mojo=={}\"", locked("mojo"))));
        assert!(text("mxfp4.toml").contains(&format!("max = \"{}\"", locked("max"))));
    }
}
