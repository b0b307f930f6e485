//! Scales that are NaN are counted by layer.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use mxfp4_checkpoint::testing::Small;
use mxfp4_checkpoint::{LayerScales, count_nan_scales, inspect};

#[test]
fn nan_scales_are_counted_by_layer() {
    let folder = tempfile::tempdir().unwrap();
    Small::default().write(folder.path()).unwrap();
    // Gate and up have 4 * 128 * 3 scales, down 4 * 96 * 2.
    let scales = 1536 + 768;
    let layer = |layer, nan| LayerScales { layer, scales, nan };
    assert_eq!(
        count_nan_scales(folder.path()).unwrap(),
        [layer(0, 0), layer(1, 0)]
    );

    // Every byte of the second layer but its header.
    let path = folder.path().join("model-00002-of-00002.safetensors");
    let bytes = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let begin = 8 + header;
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(begin)).unwrap();
    file.write_all(&vec![0xff; bytes.len() - begin as usize])
        .unwrap();
    assert_eq!(
        count_nan_scales(folder.path()).unwrap(),
        [layer(0, 0), layer(1, scales)]
    );
    assert_eq!(inspect(folder.path()).faults, []);
}
