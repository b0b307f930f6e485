use super::*;
use crate::frame::{self, FrameError, FrameReader, MAX_FRAME};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// A frame that both sides read, and what it says.
#[derive(Deserialize)]
struct Vector {
    name: String,
    /// Who sends it: `engine` or `front end`.
    from: String,
    hex: String,
    message: serde_json::Value,
}

fn vectors(from: &str) -> Vec<Vector> {
    let text = include_str!("../../../../python/tests/frames.json");
    let all: Vec<Vector> = serde_json::from_str(text).unwrap();
    let found: Vec<_> = all.into_iter().filter(|each| each.from == from).collect();
    assert!(!found.is_empty());
    found
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

async fn read<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, FrameError> {
    FrameReader::new(bytes).next().await
}

async fn same<M>(vector: &Vector)
where
    M: DeserializeOwned + PartialEq + Debug,
{
    let read: M = read(&bytes(&vector.hex)).await.unwrap();
    let wanted: M = serde_json::from_value(vector.message.clone()).unwrap();
    assert_eq!(read, wanted, "{}", vector.name);
}

#[tokio::test]
async fn what_the_engine_sends_is_read() {
    for vector in vectors("engine") {
        same::<FromEngine>(&vector).await;
    }
}

#[tokio::test]
async fn what_the_front_end_sends_is_written() {
    for vector in vectors("front end") {
        same::<ToEngine>(&vector).await;
        let message: ToEngine = serde_json::from_value(vector.message).unwrap();
        let mut written = Vec::new();
        frame::write(&mut written, &message).unwrap();
        assert_eq!(written, bytes(&vector.hex), "{}", vector.name);
    }
}

#[tokio::test]
async fn fields_that_are_not_known_are_left_out() {
    let mut written = Vec::new();
    let message = serde_json::json!({"step": {"ids": [1], "tokens": [2], "later": {"a": [1]}}});
    frame::write(&mut written, &message).unwrap();
    let step = StepFrame {
        ids: vec![1],
        tokens: vec![2],
        rows: vec![],
    };
    let read: FromEngine = read(&written).await.unwrap();
    assert_eq!(read, FromEngine::Step(step));
}

#[tokio::test]
async fn a_frame_beyond_the_limit_is_refused_before_it_is_read() {
    let length = u32::try_from(MAX_FRAME + 1).unwrap();
    let error = read::<FromEngine>(&length.to_le_bytes()).await.unwrap_err();
    assert!(matches!(error, FrameError::TooLong(found) if found == MAX_FRAME + 1));
}

#[tokio::test]
async fn frames_are_read_in_pieces_of_any_size() {
    let mut written = Vec::new();
    let frames: Vec<_> = (0..50)
        .map(|id| StepFrame {
            ids: (0..id * 40).collect(),
            tokens: vec![200_000; usize::try_from(id * 40).unwrap()],
            rows: vec![],
        })
        .collect();
    for frame in &frames {
        frame::write(&mut written, &FromEngine::Step(frame.clone())).unwrap();
    }
    for size in [1, 3, 7, 4096, 1 << 20] {
        let mut reader = through_pipe(&written, size);
        for frame in &frames {
            let read: FromEngine = reader.next().await.unwrap();
            assert_eq!(read, FromEngine::Step(frame.clone()));
        }
        assert!(matches!(
            reader.next::<FromEngine>().await,
            Err(FrameError::Ended)
        ));
    }
}

/// Reads `bytes` as they come through a pipe that holds `size` of them.
fn through_pipe(bytes: &[u8], size: usize) -> FrameReader<tokio::io::DuplexStream> {
    let (mut writer, reader) = tokio::io::duplex(size);
    let bytes = bytes.to_vec();
    tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut writer, &bytes)
            .await
            .unwrap();
    });
    FrameReader::new(reader)
}

proptest! {
    #[test]
    fn noise_is_an_error_and_no_panic(noise: Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut framed = u32::try_from(noise.len()).unwrap().to_le_bytes().to_vec();
        framed.extend_from_slice(&noise);
        let read: Result<FromEngine, _> = runtime.block_on(read(&framed));
        prop_assert!(read.is_err());
    }
}
