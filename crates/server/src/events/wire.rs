//! Batches of changes in MessagePack: `[time, [change, …], rank]`, each change an array that begins with its name.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rocmforge_engine::{CacheEvent, Space};
use rocmforge_kv_cache::Tier;
use serde::Serialize;

/// Fields in the order in which readers expect them.
#[derive(Serialize)]
struct BlockStored<'a>(
    &'static str,
    /// Hashes of the blocks.
    [u64; 1],
    /// Hash of the block before.
    Option<u64>,
    /// Token ids.
    &'a [u32],
    /// Tokens a block.
    usize,
    /// Number of the adapter.
    Option<u64>,
    /// Where the block is.
    &'static str,
    /// Name of the adapter.
    Option<&'a str>,
    /// What else tells blocks of the same tokens apart, one list a block.
    Option<[Vec<String>; 1]>,
);

#[derive(Serialize)]
struct BlockRemoved(&'static str, [u64; 1], &'static str);

#[derive(Serialize)]
struct AllBlocksCleared([&'static str; 1]);

#[derive(Serialize)]
#[serde(untagged)]
enum Change<'a> {
    Stored(BlockStored<'a>),
    Removed(BlockRemoved),
    Cleared(AllBlocksCleared),
}

/// A batch.
pub fn batch(time: SystemTime, events: &[CacheEvent]) -> Vec<u8> {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let changes: Vec<Change<'_>> = events.iter().map(change).collect();
    // Numbers, texts and lists of known length can always be written.
    rmp_serde::to_vec(&(seconds, changes, None::<u32>)).unwrap_or_default()
}

fn change(event: &CacheEvent) -> Change<'_> {
    match event {
        CacheEvent::BlockStored { hash, parent, tokens, block_size, space, tier } => Change::Stored(BlockStored(
            "BlockStored",
            [hash.0],
            parent.map(|parent| parent.0),
            tokens,
            *block_size,
            (space.adapter != 0).then_some(space.adapter),
            medium(*tier),
            None,
            extra_keys(space),
        )),
        CacheEvent::BlockRemoved { hash, tier } => {
            Change::Removed(BlockRemoved("BlockRemoved", [hash.0], medium(*tier)))
        }
        CacheEvent::AllBlocksCleared => Change::Cleared(AllBlocksCleared(["AllBlocksCleared"])),
    }
}

/// The salt that keeps tenants apart, as text.
fn extra_keys(space: &Space) -> Option<[Vec<String>; 1]> {
    space.salt.map(|salt| [vec![STANDARD_NO_PAD.encode(salt)]])
}

fn medium(tier: Tier) -> &'static str {
    match tier {
        Tier::Device => "GPU",
        Tier::Host => "CPU",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rocmforge_kv_cache::BlockHash;

    use super::*;

    #[test]
    fn batches_are_written_as_readers_expect() {
        let events = [
            CacheEvent::BlockStored {
                hash: BlockHash(2),
                parent: Some(BlockHash(1)),
                tokens: Box::new([7, 8]),
                block_size: 2,
                space: Space::default(),
                tier: Tier::Device,
            },
            CacheEvent::BlockRemoved { hash: BlockHash(u64::MAX), tier: Tier::Host },
            CacheEvent::AllBlocksCleared,
        ];
        let bytes = batch(UNIX_EPOCH + Duration::from_millis(1500), &events);
        let value: serde_json::Value = rmp_serde::from_slice(&bytes).expect("MessagePack");
        let expected = serde_json::json!([
            1.5,
            [
                ["BlockStored", [2], 1, [7, 8], 2, null, "GPU", null, null],
                ["BlockRemoved", [u64::MAX], "CPU"],
                ["AllBlocksCleared"],
            ],
            null,
        ]);
        assert_eq!(value, expected);
    }

    #[test]
    fn tenants_are_told_apart() {
        let keys = |salt| extra_keys(&Space { salt, ..Space::default() });
        assert_eq!(keys(None), None);
        assert_ne!(keys(Some([1; 16])), keys(Some([2; 16])));
    }
}
