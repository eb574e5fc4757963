//! Mutations by machine: whatever is done to a file, parsing returns, and what it accepts is in bounds.

use std::ops::Range;
use std::time::{Duration, Instant};

use rocmforge_gguf_loader::{Array, GgmlType, Gguf, Metadata, Value, Writer};

use crate::build::{ARRAY, File, I32, STRING, U32, array_pair, entry, pair, readable, text_pair};

/// Rounds per seed file; at most, if the machine is slow.
const ROUNDS: u64 = 4000;
const TIME_MAX: Duration = Duration::from_secs(20);

/// SplitMix64: enough for choosing mutations, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// A file, and where its 32- and 64-bit fields and its sections are.
struct Seed {
    bytes: Vec<u8>,
    fields: Vec<Range<usize>>,
    sections: Vec<Range<usize>>,
}

impl Seed {
    /// Finds the structure of a sound file again by walking it, trusting it.
    fn new(bytes: Vec<u8>) -> Self {
        let mut walk = Walk { bytes: &bytes, pos: 4, fields: vec![], sections: vec![] };
        walk.u32();
        let (tensors, pairs) = (walk.u64(), walk.u64());
        for _ in 0..pairs {
            walk.section(Walk::pair);
        }
        for _ in 0..tensors {
            walk.section(Walk::entry);
        }
        let (fields, mut sections, end) = (walk.fields, walk.sections, walk.pos);
        sections.extend([0..24, end..bytes.len()]);
        Self { bytes, fields, sections }
    }

    fn mutate(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for _ in 0..1 + random.below(3) {
            match random.below(8) {
                0 | 1 => self.boundary(&mut bytes, random),
                2 => self.swap_fields(&mut bytes, random),
                3 => self.nudge(&mut bytes, random),
                4 => self.noise(&mut bytes, random),
                // These move what is behind them, so nothing else is aimed at afterwards.
                5 => return self.duplicate(bytes, random),
                6 => return self.remove(bytes, random),
                _ => {
                    return {
                        bytes.truncate(random.below(bytes.len()));
                        bytes
                    };
                }
            }
        }
        bytes
    }

    fn boundary(&self, bytes: &mut [u8], random: &mut Random) {
        let field = random.pick(&self.fields);
        let len = bytes.len() as u64;
        let values = [
            0,
            1,
            2,
            3,
            4,
            5,
            7,
            8,
            9,
            13,
            31,
            32,
            33,
            63,
            64,
            255,
            256,
            65_535,
            65_536,
            len - 1,
            len,
            len + 1,
            1 << 31,
            (1 << 31) - 1,
            1 << 32,
            (1 << 32) - 1,
            1 << 60,
            1 << 61,
            1 << 62,
            (1 << 63) - 32,
            (1 << 63) - 1,
            1 << 63,
            u64::MAX - 31,
            u64::MAX - 1,
            u64::MAX,
        ];
        put(bytes, field, random.pick(&values));
    }

    fn nudge(&self, bytes: &mut [u8], random: &mut Random) {
        let field = random.pick(&self.fields);
        let step = random.pick(&[1, 2, 8, 16, 32, u64::MAX, u64::MAX - 7, u64::MAX - 31]);
        let value = get(bytes, field.clone()).wrapping_add(step);
        put(bytes, field, value);
    }

    fn swap_fields(&self, bytes: &mut [u8], random: &mut Random) {
        let (a, b) = (random.pick(&self.fields), random.pick(&self.fields));
        let (old_a, old_b) = (get(bytes, a.clone()), get(bytes, b.clone()));
        put(bytes, a, old_b);
        put(bytes, b, old_a);
    }

    fn noise(&self, bytes: &mut [u8], random: &mut Random) {
        for _ in 0..1 + random.below(16) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
    }

    fn duplicate(&self, mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
        let (from, to) = (random.pick(&self.sections), random.pick(&self.sections));
        let copy = bytes[from].to_vec();
        bytes.splice(to.start..to.start, copy);
        // Half of the time the counts follow, so that the doubled section is read as one.
        if random.below(2) == 0 {
            let field = random.pick(&[8..16, 16..24]);
            let count = get(&bytes, field.clone());
            put(&mut bytes, field, count.wrapping_add(1));
        }
        bytes
    }

    fn remove(&self, mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
        bytes.drain(random.pick(&self.sections));
        bytes
    }
}

fn get(bytes: &[u8], field: Range<usize>) -> u64 {
    bytes[field].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn put(bytes: &mut [u8], field: Range<usize>, value: u64) {
    let len = field.len();
    bytes[field].copy_from_slice(&value.to_le_bytes()[..len]);
}

struct Walk<'a> {
    bytes: &'a [u8],
    pos: usize,
    fields: Vec<Range<usize>>,
    sections: Vec<Range<usize>>,
}

impl Walk<'_> {
    fn field(&mut self, len: usize) -> u64 {
        let field = self.pos..self.pos + len;
        self.pos = field.end;
        self.fields.push(field.clone());
        get(self.bytes, field)
    }

    fn u32(&mut self) -> u64 {
        self.field(4)
    }

    fn u64(&mut self) -> u64 {
        self.field(8)
    }

    fn text(&mut self) {
        self.pos += self.u64() as usize;
    }

    fn section(&mut self, read: impl Fn(&mut Self)) {
        let start = self.pos;
        read(self);
        self.sections.push(start..self.pos);
    }

    fn pair(&mut self) {
        self.text();
        let kind = self.u32() as u32;
        match kind {
            ARRAY => {
                let kind = self.u32() as u32;
                for _ in 0..self.u64() {
                    self.value(kind);
                }
            }
            scalar => self.value(scalar),
        }
    }

    fn value(&mut self, kind: u32) {
        match kind {
            STRING => self.text(),
            0 | 1 | 7 => self.pos += 1,
            2 | 3 => self.pos += 2,
            4..=6 => drop(self.u32()),
            _ => drop(self.u64()),
        }
    }

    fn entry(&mut self) {
        self.text();
        for _ in 0..self.u32() {
            self.u64();
        }
        self.u32();
        self.u64();
    }
}

/// A small model: `layers` blocks of three tensors of `ty`, and a vocabulary of `words`.
fn model(layers: u32, words: usize, ty: GgmlType, alignment: u32) -> Vec<u8> {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    metadata.insert("general.alignment", alignment);
    metadata.insert("llama.block_count", layers);
    metadata.insert("llama.rope.freq_base", 1e4_f32);
    metadata.insert("llama.use_parallel_residual", false);
    metadata.insert("tokenizer.ggml.tokens", (0..words).map(|word| format!("w{word}")).collect::<Array>());
    metadata.insert("tokenizer.ggml.scores", vec![0.5_f32; words]);
    metadata.insert("tokenizer.ggml.token_type", vec![1_i32; words]);
    let mut writer = Writer::new(metadata);
    let row = ty.block_elems() as u64;
    for layer in 0..layers {
        writer.add(format!("blk.{layer}.attn_norm.weight"), [16], GgmlType::F32);
        writer.add(format!("blk.{layer}.attn_q.weight"), [row, 4], ty);
        writer.add(format!("blk.{layer}.ffn_gate_exps.weight"), [row, 2, 2], ty);
    }
    let mut sink = writer.begin(Vec::new()).unwrap();
    while let Some(tensor) = sink.next_tensor() {
        let bytes = vec![layers as u8; tensor.size as usize];
        sink.write_tensor(&bytes).unwrap();
    }
    sink.finish().unwrap()
}

/// Twenty files, of every part of the format.
fn seeds() -> Vec<Seed> {
    let mut files = vec![File::sound().bytes(), File { version: 2, ..File::sound() }.bytes()];
    let types = [
        GgmlType::F32,
        GgmlType::F16,
        GgmlType::BF16,
        GgmlType::Q4_0,
        GgmlType::Q8_0,
        GgmlType::Q4_K,
        GgmlType::Q6_K,
        GgmlType::IQ4_XS,
        GgmlType::MXFP4,
        GgmlType::I8,
    ];
    files.extend(types.iter().zip(1..).map(|(ty, layers)| model(1 + layers % 3, layers as usize, *ty, 32)));
    files.extend([8, 16, 64, 256].map(|alignment| model(2, 5, GgmlType::Q4_0, alignment)));
    files.push(model(0, 12, GgmlType::F32, 32));
    files.push(File::default().bytes());
    let part = File::sound()
        .with_pair(pair("split.no", U32, 0_u32.to_le_bytes()))
        .with_pair(pair("split.count", U32, 1_u32.to_le_bytes()))
        .with_pair(pair("split.tensors.count", I32, 2_i32.to_le_bytes()));
    files.push(part.bytes());
    let gaps = File::with_entries([entry("b", &[8], 0, 96), entry("a", &[8], 0, 32)], 160)
        .with_pair(text_pair("general.name", "gaps"))
        .with_pair(array_pair("bools", 7, 3, [0, 1, 0]));
    files.push(gaps.bytes());
    files.into_iter().map(Seed::new).collect()
}

/// Everything accepted can be written again, and comes back the same.
fn check_rewrite(gguf: &Gguf<&[u8]>) {
    let mut writer = Writer::new(gguf.metadata().clone());
    for tensor in gguf.tensors() {
        writer.add(&tensor.name, tensor.dims.clone(), tensor.ty);
    }
    let mut sink = writer.begin(Vec::new()).unwrap();
    for tensor in gguf.tensors() {
        sink.write_tensor(gguf.data(tensor)).unwrap();
    }
    let again = Gguf::parse(sink.finish().unwrap()).unwrap();
    let pairs = |metadata: &Metadata| metadata.iter().map(|pair| format!("{pair:?}")).collect::<Vec<_>>();
    assert_eq!(pairs(again.metadata()), pairs(gguf.metadata()));
    assert_eq!(again.tensors().len(), gguf.tensors().len());
    for (new, old) in again.tensors().iter().zip(gguf.tensors()) {
        assert_eq!((&new.name, &new.dims, new.ty), (&old.name, &old.dims, old.ty));
        assert_eq!(again.data(new), gguf.data(old));
    }
}

/// What a parsed file promises, checked from outside.
fn check(gguf: &Gguf<&[u8]>) {
    let mut ranges = vec![];
    for tensor in gguf.tensors() {
        assert!(tensor.size > 0 && gguf.data(tensor).len() as u64 == tensor.size, "{tensor:?}");
        assert_eq!(gguf.tensor(&tensor.name), Some(tensor));
        assert!(tensor.offset.is_multiple_of(gguf.alignment()));
        ranges.push(tensor.offset..tensor.offset + tensor.size);
    }
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
    for (key, value) in gguf.metadata().iter() {
        assert_eq!(gguf.metadata().get(key).map(Value::kind), Some(value.kind()));
    }
    check_rewrite(gguf);
}

#[test]
fn mutated_files_are_refused_or_in_bounds() {
    let start = Instant::now();
    let seeds = seeds();
    assert_eq!(seeds.len(), 20);
    let (mut accepted, mut kinds) = (0, std::collections::BTreeSet::new());
    for (number, seed) in (0_u64..).zip(&seeds) {
        check(&Gguf::parse(seed.bytes.as_slice()).unwrap());
        let mut random = Random(number);
        for _ in 0..ROUNDS {
            if start.elapsed() > TIME_MAX {
                return;
            }
            let bytes = seed.mutate(&mut random);
            match Gguf::parse(bytes.as_slice()) {
                Ok(gguf) => {
                    check(&gguf);
                    accepted += 1;
                }
                Err(error) => {
                    let text = format!("{:?}", readable(error));
                    kinds.insert(text.split([' ', '(']).next().unwrap_or_default().to_owned());
                }
            }
        }
    }
    // The mutations are of use only if some files survive them and the others fail in many ways.
    assert!(accepted > 1000, "{accepted} accepted");
    assert!(kinds.len() > 20, "only {kinds:?}");
}

/// Both parts of a set are mutated; the set as a whole obeys the same promise.
#[test]
fn mutated_parts_are_refused_or_in_bounds() {
    let part = |no: u32| {
        let name = format!("t{no}");
        let file = File::with_entries([entry(name, &[8], 0, 0)], 32)
            .with_pair(pair("split.no", U32, no.to_le_bytes()))
            .with_pair(pair("split.count", U32, 2_u32.to_le_bytes()))
            .with_pair(pair("split.tensors.count", I32, 2_i32.to_le_bytes()));
        Seed::new(file.bytes())
    };
    let parts = [part(0), part(1)];
    let mut random = Random(77);
    let mut accepted = 0;
    for _ in 0..ROUNDS {
        let mutated = parts
            .each_ref()
            .map(|part| if random.below(3) == 0 { part.bytes.clone() } else { part.mutate(&mut random) });
        if let Ok(gguf) = Gguf::parse_split(mutated.iter().map(Vec::as_slice).collect()) {
            for tensor in gguf.tensors() {
                assert_eq!(gguf.data(tensor).len() as u64, tensor.size);
            }
            accepted += 1;
        }
    }
    assert!(accepted > 100, "{accepted} accepted");
}
