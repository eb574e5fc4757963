//! Any bytes: parsing returns, alone and as a split set; what it accepts is in bounds and can be written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rocmforge_gguf_loader::{Gguf, GgufError, Writer};

fn check(gguf: &Gguf<&[u8]>) {
    for tensor in gguf.tensors() {
        assert!(tensor.size > 0);
        assert_eq!(gguf.data(tensor).len() as u64, tensor.size);
        assert_eq!(gguf.tensor(&tensor.name), Some(tensor));
    }
}

fn rewrite(gguf: &Gguf<&[u8]>) -> Vec<u8> {
    let mut writer = Writer::new(gguf.metadata().clone());
    for tensor in gguf.tensors() {
        writer.add(&tensor.name, tensor.dims.clone(), tensor.ty);
    }
    let mut sink = writer.begin(Vec::new()).expect("what was read can be written");
    for tensor in gguf.tensors() {
        sink.write_tensor(gguf.data(tensor)).expect("sizes were checked");
    }
    sink.finish().expect("all tensors were written")
}

fn readable(error: &GgufError) {
    assert!(error.to_string().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
}

fuzz_target!(|bytes: &[u8]| {
    match Gguf::parse(bytes) {
        Ok(gguf) => {
            check(&gguf);
            let first = rewrite(&gguf);
            match Gguf::parse(first.as_slice()) {
                Ok(again) => {
                    check(&again);
                    assert!(first == rewrite(&again), "a second writing differs");
                }
                // Data that moved up to the header may look like one more entry.
                Err(GgufError::TrailingBytes { .. }) => {}
                Err(error) => panic!("written, and not readable: {error}"),
            }
        }
        Err(error) => readable(&error),
    }
    // The same bytes as two parts: the second begins at the second magic.
    let second = bytes.windows(4).skip(1).position(|four| four == b"GGUF").map_or(bytes.len(), |at| at + 1);
    match Gguf::parse_split(vec![&bytes[..second], &bytes[second..]]) {
        Ok(gguf) => check(&gguf),
        Err(error) => readable(&error),
    }
});
