//! Bytes of a stream, decoded whole and in pieces: the same events, the same tokens, no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llem_core::sse::{Chunk, Decoder, Tallied, Tally};

fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_first() else { return };
    let pieces = decode(bytes.chunks(usize::from(*size).max(1)));
    assert_eq!(pieces, decode(std::iter::once(bytes)));
});

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Tallied) {
    let (mut decoder, mut tally, mut events) = (Decoder::new(), Tally::default(), Vec::new());
    for piece in pieces {
        let pushed = decoder.push(piece, |data| {
            if let Ok(chunk) = Chunk::parse(data) {
                tally.add(1, &chunk);
            }
            events.push(data.to_vec());
        });
        if pushed.is_err() {
            break;
        }
    }
    (events, tally.settle())
}
