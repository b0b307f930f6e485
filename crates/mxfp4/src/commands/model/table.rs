//! An inspection for people.

use std::fmt::Write as _;

use mxfp4_checkpoint::{Inspection, LayerScales};
use mxfp4_launch::{gib, needed};

use super::gpu::Gpu;

/// So many files and layers are listed.
const LISTED: usize = 64;

/// A line for each thing that is known, then what is wrong.
pub fn text(inspection: &Inspection, scales: Option<&[LayerScales]>, gpu: Option<&Gpu>) -> String {
    let mut out = String::new();
    let mut row = |title: &str, text: String| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(out, "{title:13} {text}");
    };
    let or_none = |text: &Option<String>| text.clone().unwrap_or("none".into());
    row("folder", inspection.folder.display().to_string());
    row("architecture", or_none(&inspection.architecture));
    row("quantization", or_none(&inspection.quantization));
    if let Some(layout) = &inspection.layout {
        row("layout", layout.to_string());
    }
    if let Some(sizes) = &inspection.sizes {
        row(
            "layers",
            format!(
                "{}, of {} features, {} heads ({} of keys) of {}",
                sizes.num_hidden_layers,
                sizes.hidden_size,
                sizes.num_attention_heads,
                sizes.num_key_value_heads,
                sizes.head_dim
            ),
        );
        row(
            "experts",
            format!(
                "{} a layer, {} for a token, of {} features",
                sizes.num_local_experts, sizes.num_experts_per_tok, sizes.intermediate_size
            ),
        );
        row("vocabulary", format!("{} rows", sizes.vocab_size));
    }
    if let Some(tokenizer) = &inspection.tokenizer {
        let tokens = tokenizer.tokens.map(|tokens| format!(", {tokens} tokens"));
        row(
            "tokenizer",
            format!("{}{}", tokenizer.file, tokens.unwrap_or_default()),
        );
        row("template", inspection.template.unwrap_or("none").into());
    }
    let total = inspection.total();
    if total.tensors > 0 {
        let kinds = inspection
            .dtypes
            .iter()
            .map(|(dtype, of)| format!("{} in {dtype} ({})", of.tensors, gib(of.bytes)));
        let kinds: Vec<String> = kinds.collect();
        let loads = format!("{} tensors, {}: ", total.tensors, gib(total.bytes));
        row("loads", loads + &kinds.join(", "));
        if inspection.skipped > 0 {
            let skipped = format!("{} tensors of original/", inspection.skipped);
            row("passes over", skipped);
        }
        row("memory", memory(inspection.weight_bytes(), gpu));
    }
    for (n, shard) in inspection.files.iter().take(LISTED).enumerate() {
        let title = if n == 0 { "files" } else { "" };
        row(
            title,
            format!(
                "{}  {} tensors, {}",
                shard.file,
                shard.tensors,
                gib(shard.bytes)
            ),
        );
    }
    if inspection.files.len() > LISTED {
        row("", format!("and {} more", inspection.files.len() - LISTED));
    }
    for (n, layer) in scales.unwrap_or_default().iter().take(LISTED).enumerate() {
        let title = if n == 0 { "scales" } else { "" };
        row(
            title,
            format!(
                "layer {}: {} of {} are NaN",
                layer.layer, layer.nan, layer.scales
            ),
        );
    }
    out.push('\n');
    if inspection.faults.is_empty() {
        out.push_str("It can be served.\n");
    } else {
        out.push_str("It cannot be served:\n");
    }
    for fault in &inspection.faults {
        let _ = writeln!(out, "  {fault}; {}", fault.hint());
    }
    out
}

fn memory(weights: u64, gpu: Option<&Gpu>) -> String {
    let needed = needed(weights, 1);
    let least = format!("{} at least on one GPU", gib(needed));
    match gpu {
        None => format!("{least}; this machine has no Hopper GPU"),
        Some(Gpu { name, free: None }) => format!("{least}; this machine has an {name}"),
        Some(Gpu {
            name,
            free: Some(free),
        }) => {
            let fits = if *free >= needed {
                "enough"
            } else {
                "too little"
            };
            format!(
                "{least}; {} are free on this machine's {name}, {fits}",
                gib(*free)
            )
        }
    }
}
