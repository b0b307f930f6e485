//! x
use std::time::Instant;
fn main() {
    let p = std::env::args().nth(1).unwrap();
    for _ in 0..3 {
        let t = Instant::now();
        let b = std::fs::read(&p).unwrap();
        println!("read {:?}", t.elapsed());
        let t = Instant::now();
        let tk = tokenizers::Tokenizer::from_bytes(&b).unwrap();
        println!("tok {:?}", t.elapsed());
        let t = Instant::now();
        let v = mxfp4_harmony::Vocabulary::from_tokenizer(tk);
        println!("vocab {:?}", t.elapsed());
        let text="The quick brown fox jumps over the lazy dog. It's 12345 things — naïve façade 你好 🙂\n".repeat(200);
        let t = Instant::now();
        let ids = v.encode(&text);
        println!(
            "encode {} bytes {} tokens {:?}",
            text.len(),
            ids.len(),
            t.elapsed()
        );
        let t = Instant::now();
        let ids = v.encode(&text);
        println!(
            "encode again {} bytes {} tokens {:?}",
            text.len(),
            ids.len(),
            t.elapsed()
        );
        let t = Instant::now();
        let ids = v.encode_with_special(&text);
        println!(
            "encode special {} bytes {} tokens {:?}",
            text.len(),
            ids.len(),
            t.elapsed()
        );
        println!("{:?}", v.encode("<|start|>"));
        println!("{:?}", v.encode_with_special("<|start|>assistant<|x|>"));
        println!("{}", v.len());
    }
}
